//! Just enough of the Kubernetes API that a stock kubectl works against a node without a cluster.
//!
//! | path | answer |
//! |---|---|
//! | `/version` | version information |
//! | `/api`, `/apis`, `/api/v1` | discovery: one version, no groups, namespaces and pods |
//! | `/api/v1/namespaces`, `/api/v1/namespaces/{ns}` | the namespaces that have pods |
//! | `/api/v1/pods`, `/api/v1/namespaces/{ns}/pods` | pods; `fieldSelector` by name and namespace |
//! | `/api/v1/namespaces/{ns}/pods/{pod}` | one pod |
//! | `.../pods/{pod}/exec`, `attach`, `portforward` | 400: they want an upgrade, not answered here |
//!
//! Answers are JSON in every case, also to a client that would rather have protobuf or a table: all versions
//! of kubectl take it. Everything is read-only; there is nothing to watch. Refusals are `Status` objects as
//! an API server words them.

mod json;
mod timestamp;

use std::time::SystemTime;

use serde_json::Value;
use strait::http::target::{Query, decode};

/// A pod that the node shows: one running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The namespace it is in, usually `default`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The name of its container.
    pub container: String,
    /// Whether the container reads standard input: kubectl attaches it only then.
    pub stdin: bool,
    /// Whether the container runs on a terminal: kubectl then attaches with one.
    pub tty: bool,
    /// Since when it runs.
    pub started: SystemTime,
}

impl Pod {
    /// The pod `name` in the namespace `default`, with a container `main` that has standard input and a
    /// terminal.
    pub fn new(name: &str, started: SystemTime) -> Self {
        Self {
            namespace: "default".into(),
            name: name.into(),
            container: "main".into(),
            stdin: true,
            tty: true,
            started,
        }
    }

    /// Its UID, which is made of its names: it is the same each time the node starts.
    pub fn uid(&self) -> String {
        format!("strait-{}-{}", self.namespace, self.name)
    }
}

/// An answer: the status code and a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// With 405, the value of `Allow`.
    pub allow: Option<&'static str>,
    /// The body, a Kubernetes object.
    pub body: Vec<u8>,
}

/// Answers a request. `path` is the request target up to `?`, and `query` what follows it, both as received.
///
/// Names in Kubernetes paths need no percent-encoding, so a path that has any names nothing.
pub fn answer(method: &str, path: &str, query: Option<&str>, pods: &[Pod]) -> Answer {
    let Some(resource) = Resource::parse(path) else { return Answer::unknown_path() };
    if let Resource::Upgrade { namespace, pod } = resource {
        return match find(pods, namespace, pod) {
            Some(_) => Answer::bad_request("Upgrade request required"),
            None => Answer::pod_not_found(pod),
        };
    }
    let query = query.unwrap_or_default();
    if method != "GET" || parameter(query, "watch").is_some_and(|value| value == "true" || value == "1") {
        return Answer::method_not_allowed();
    }
    match resource {
        Resource::Version => Answer::ok(&json::version()),
        Resource::Versions => Answer::ok(&json::versions()),
        Resource::Groups => Answer::ok(&json::groups()),
        Resource::Resources => Answer::ok(&json::resources()),
        Resource::Namespaces => Answer::ok(&json::namespace_list(&namespaces(pods))),
        Resource::Namespace(name) if namespaces(pods).contains(&name) => Answer::ok(&json::namespace(name)),
        Resource::Namespace(name) => Answer::not_found("namespaces", name),
        Resource::Pods(namespace) => list(pods, namespace, query),
        Resource::Pod { namespace, pod } | Resource::Upgrade { namespace, pod } => find(pods, namespace, pod)
            .map_or_else(|| Answer::pod_not_found(pod), |pod| Answer::ok(&json::pod(pod))),
    }
}

/// The pod of that name, if the node shows one.
pub fn find<'a>(pods: &'a [Pod], namespace: &str, name: &str) -> Option<&'a Pod> {
    pods.iter().find(|pod| pod.namespace == namespace && pod.name == name)
}

enum Resource<'a> {
    Version,
    Versions,
    Groups,
    Resources,
    Namespaces,
    Namespace(&'a str),
    Pods(Option<&'a str>),
    Pod { namespace: &'a str, pod: &'a str },
    Upgrade { namespace: &'a str, pod: &'a str },
}

impl<'a> Resource<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match segments[..] {
            ["version"] => Self::Version,
            ["api"] => Self::Versions,
            ["apis"] => Self::Groups,
            ["api", "v1"] => Self::Resources,
            ["api", "v1", "pods"] => Self::Pods(None),
            ["api", "v1", "namespaces"] => Self::Namespaces,
            ["api", "v1", "namespaces", namespace] => Self::Namespace(namespace),
            ["api", "v1", "namespaces", namespace, "pods"] => Self::Pods(Some(namespace)),
            ["api", "v1", "namespaces", namespace, "pods", pod] => Self::Pod { namespace, pod },
            ["api", "v1", "namespaces", namespace, "pods", pod, "exec" | "attach" | "portforward"] => {
                Self::Upgrade { namespace, pod }
            }
            _ => return None,
        })
    }
}

fn namespaces(pods: &[Pod]) -> Vec<&str> {
    let mut names = vec!["default"];
    for pod in pods {
        if !names.contains(&pod.namespace.as_str()) {
            names.push(&pod.namespace);
        }
    }
    names
}

fn list(pods: &[Pod], namespace: Option<&str>, query: &str) -> Answer {
    if parameter(query, "labelSelector").is_some_and(|selector| !selector.is_empty()) {
        return Answer::bad_request("label selectors are not supported: pods of this node have no labels");
    }
    let selector = parameter(query, "fieldSelector").unwrap_or_default();
    let mut listed: Vec<&Pod> =
        pods.iter().filter(|pod| namespace.is_none_or(|namespace| pod.namespace == namespace)).collect();
    for requirement in selector.split(',').filter(|requirement| !requirement.is_empty()) {
        let Some((field, value)) = requirement.split_once('=') else {
            return Answer::bad_request(&format!("invalid field selector: {requirement:?}"));
        };
        let value = value.strip_prefix('=').unwrap_or(value);
        match field {
            "metadata.name" => listed.retain(|pod| pod.name == value),
            "metadata.namespace" => listed.retain(|pod| pod.namespace == value),
            _ => return Answer::bad_request(&format!("field label not supported: {field}")),
        }
    }
    Answer::ok(&json::pod_list(&listed))
}

/// The first value of a query parameter, percent-decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let (_, value) = Query::new(query).find(|(found, _)| *found == name)?;
    Some(String::from_utf8_lossy(&decode(value).collect::<Vec<_>>()).into_owned())
}

impl Answer {
    /// 404 for a pod that the node does not show, worded as an API server does.
    pub fn pod_not_found(name: &str) -> Self {
        Self::not_found("pods", name)
    }

    /// 400 with `message`.
    pub fn bad_request(message: &str) -> Self {
        Self::of(400, &json::failure(400, "BadRequest", message, None))
    }

    /// 401, worded as an API server does.
    pub fn unauthorized() -> Self {
        Self::of(401, &json::failure(401, "Unauthorized", "Unauthorized", None))
    }

    fn not_found(kind: &str, name: &str) -> Self {
        let message = format!("{kind} {name:?} not found");
        Self::of(404, &json::failure(404, "NotFound", &message, Some((kind, name))))
    }

    fn unknown_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::of(404, &json::failure(404, "NotFound", message, None))
    }

    fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let body = json::failure(405, "MethodNotAllowed", message, None);
        Self { allow: Some("GET"), ..Self::of(405, &body) }
    }

    fn ok(body: &Value) -> Self {
        Self::of(200, body)
    }

    fn of(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", allow: None, body: body.to_string().into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn pods() -> Vec<Pod> {
        let started = UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        let elsewhere = Pod { namespace: "lab".into(), ..Pod::new("other", started) };
        vec![Pod::new("demo", started), elsewhere]
    }

    fn get(target: &str) -> (u16, Value) {
        ask("GET", target)
    }

    fn ask(method: &str, target: &str) -> (u16, Value) {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let answer = answer(method, path, query, &pods());
        assert_eq!(answer.content_type, "application/json");
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn names(target: &str) -> Vec<String> {
        let (status, list) = get(target);
        assert_eq!(status, 200, "{list}");
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().into()).collect()
    }

    #[test]
    fn discovery_names_one_version_and_the_resources_that_kubectl_needs() {
        assert_eq!(get("/api?timeout=32s").1["versions"], serde_json::json!(["v1"]));
        assert_eq!(get("/apis?timeout=32s").1["groups"], serde_json::json!([]));
        let (_, resources) = get("/api/v1?timeout=32s");
        let resources = resources["resources"].as_array().unwrap();
        let names: Vec<&str> = resources.iter().map(|resource| resource["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["namespaces", "pods", "pods/attach", "pods/exec", "pods/portforward"]);
        assert_eq!(get("/version?timeout=5s").1["gitVersion"], "v1.34.0+strait");
    }

    #[test]
    fn a_pod_is_running_and_ready() {
        let (status, pod) = get("/api/v1/namespaces/default/pods/demo");
        assert_eq!(status, 200);
        assert_eq!((&pod["kind"], &pod["status"]["phase"]), (&"Pod".into(), &"Running".into()));
        assert_eq!(pod["spec"]["containers"][0]["name"], "main");
        assert_eq!(pod["spec"]["containers"][0]["tty"], true);
        assert_eq!(pod["metadata"]["creationTimestamp"], "2025-10-09T08:53:20Z");
    }

    #[test]
    fn lists_are_by_namespace_and_by_field() {
        assert_eq!(names("/api/v1/pods"), ["demo", "other"]);
        assert_eq!(names("/api/v1/namespaces/default/pods?limit=500"), ["demo"]);
        assert_eq!(names("/api/v1/namespaces/nowhere/pods"), [""; 0]);
        assert_eq!(names("/api/v1/pods?fieldSelector=metadata.name%3Dother"), ["other"]);
        assert_eq!(names("/api/v1/pods?fieldSelector=metadata.name==demo,metadata.namespace=lab"), [""; 0]);
        assert_eq!(names("/api/v1/namespaces"), ["default", "lab"]);
        assert_eq!(get("/api/v1/pods?fieldSelector=spec.nodeName%3Dx").0, 400);
        assert_eq!(get("/api/v1/pods?labelSelector=app%3Dweb").0, 400);
    }

    #[test]
    fn an_unknown_name_is_refused_as_an_api_server_does() {
        let expected = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "pods \"nosuch\" not found", "reason": "NotFound",
            "details": {"name": "nosuch", "kind": "pods"}, "code": 404,
        });
        assert_eq!(get("/api/v1/namespaces/default/pods/nosuch"), (404, expected.clone()));
        assert_eq!(get("/api/v1/namespaces/default/pods/nosuch/exec?command=date"), (404, expected));
        assert_eq!(get("/api/v1/namespaces/default/pods/other").0, 404, "it is in another namespace");
        assert_eq!(get("/api/v1/namespaces/nowhere").1["message"], "namespaces \"nowhere\" not found");
    }

    #[test]
    fn an_unknown_path_is_not_found() {
        let unknown = [
            "/",
            "",
            "version",
            "/version/",
            "/api/v2",
            "/apis/apps/v1",
            "/api/v1/nodes",
            "/api/v1/namespaces/default/pods/demo/log",
            "/api/v1/namespaces/default/pods/demo/exec/more",
            "/api/v1/namespaces/default/pods/demo/exec/more/and/more",
            "/api/v1/namespaces/default/pods/../pods/demo",
        ];
        for path in unknown {
            let (status, body) = get(path);
            assert_eq!((status, &body["reason"]), (404, &"NotFound".into()), "{path}");
            assert_eq!(body["message"], "the server could not find the requested resource", "{path}");
        }
    }

    #[test]
    fn nothing_can_be_changed_or_watched() {
        for (method, target) in [
            ("POST", "/api/v1/namespaces/default/pods"),
            ("DELETE", "/api/v1/namespaces/default/pods/demo"),
            ("get", "/version"),
            ("GET", "/api/v1/pods?watch=true"),
            ("GET", "/api/v1/pods?limit=1&watch=1"),
        ] {
            let (status, body) = ask(method, target);
            assert_eq!((status, &body["reason"]), (405, &"MethodNotAllowed".into()), "{method} {target}");
        }
        assert_eq!(answer("PUT", "/version", None, &[]).allow, Some("GET"));
        assert_eq!(get("/api/v1/pods?watch=false").0, 200);
    }

    #[test]
    fn an_exec_that_is_no_upgrade_is_told_so() {
        for method in ["GET", "POST"] {
            let (status, body) = ask(method, "/api/v1/namespaces/default/pods/demo/exec?command=date");
            assert_eq!((status, &body["message"]), (400, &"Upgrade request required".into()));
        }
    }
}
