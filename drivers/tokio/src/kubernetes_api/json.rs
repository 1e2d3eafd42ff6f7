//! The objects themselves.

use serde_json::{Value, json};

use super::{Pod, timestamp};

/// What kubectl compares its own version with; the newest API this node's answers were checked against.
const GIT_VERSION: &str = "v1.34.0+strait";

/// Where everything runs: on this host.
const ADDRESS: &str = "127.0.0.1";

pub(super) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "34",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": platform(),
    })
}

/// This host, in Go's words.
fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

pub(super) fn versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

pub(super) fn groups() -> Value {
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})
}

pub(super) fn resources() -> Value {
    let upgrade = |name: &str, kind: &str| {
        let verbs = ["create", "get"];
        json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs})
    };
    json!({
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": "namespaces", "singularName": "namespace", "namespaced": false, "kind": "Namespace",
                "verbs": ["get", "list"], "shortNames": ["ns"],
            },
            {
                "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod",
                "verbs": ["get", "list"], "shortNames": ["po"], "categories": ["all"],
            },
            upgrade("pods/attach", "PodAttachOptions"),
            upgrade("pods/exec", "PodExecOptions"),
            upgrade("pods/portforward", "PodPortForwardOptions"),
        ],
    })
}

pub(super) fn namespace_list(names: &[&str]) -> Value {
    let items: Vec<Value> = names.iter().map(|name| namespace(name)).collect();
    json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

pub(super) fn namespace(name: &str) -> Value {
    json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "resourceVersion": "1"},
        "spec": {},
        "status": {"phase": "Active"},
    })
}

pub(super) fn pod_list(pods: &[&Pod]) -> Value {
    let items: Vec<Value> = pods.iter().map(|listed| pod(listed)).collect();
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

pub(super) fn pod(pod: &Pod) -> Value {
    let started = timestamp::rfc3339(pod.started);
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": started});
    let container = json!({
        "name": pod.container,
        "image": "host",
        "stdin": pod.stdin,
        "tty": pod.tty,
        "resources": {},
        "imagePullPolicy": "Never",
    });
    let container_status = json!({
        "name": pod.container,
        "state": {"running": {"startedAt": started}},
        "lastState": {},
        "ready": true,
        "started": true,
        "restartCount": 0,
        "image": "host",
        "imageID": "",
    });
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid(),
            "resourceVersion": "1",
            "creationTimestamp": started,
        },
        "spec": {
            "containers": [container],
            "restartPolicy": "Always",
            "nodeName": "strait",
            "hostNetwork": true,
        },
        "status": {
            "phase": "Running",
            "conditions": [
                condition("PodScheduled"),
                condition("Initialized"),
                condition("ContainersReady"),
                condition("Ready"),
            ],
            "hostIP": ADDRESS,
            "podIP": ADDRESS,
            "startTime": started,
            "containerStatuses": [container_status],
        },
    })
}

/// A `Status` of failure; `details` are the kind and the name of what was asked for.
pub(super) fn failure(code: u16, reason: &str, message: &str, details: Option<(&str, &str)>) -> Value {
    let details = details.map_or_else(|| json!({}), |(kind, name)| json!({"name": name, "kind": kind}));
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    })
}
