package host

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Request is what a path and a query ask for.
type Request struct {
	Verb                       string // exec, attach or portforward
	Namespace, Pod, Container  string
	Command                    []string
	Stdin, Stdout, Stderr, TTY bool
	Ports                      []int32
}

// Asked reads an API server's path (/api/v1/namespaces/NS/pods/POD/VERB) or a kubelet's (/VERB/NS/POD/CONTAINER).
func Asked(request *http.Request) (Request, bool) {
	words, query := strings.Split(strings.Trim(request.URL.Path, "/"), "/"), request.URL.Query()
	asked := Request{Container: query.Get("container"), Command: query["command"]}
	flags := [4]string{"input", "output", "error", "tty"}
	switch {
	case len(words) == 7 && words[0] == "api" && words[4] == "pods":
		asked.Namespace, asked.Pod, asked.Verb = words[3], words[5], words[6]
		flags = [4]string{"stdin", "stdout", "stderr", "tty"}
	case len(words) == 4 || len(words) == 3 && words[0] == "portForward":
		asked.Verb, asked.Namespace, asked.Pod = strings.ToLower(words[0]), words[1], words[2]
		asked.Container = words[len(words)-1]
	default:
		return asked, false
	}
	if asked.Container == "" {
		// An API server would look it up.
		asked.Container = "main"
	}
	for i, on := range []*bool{&asked.Stdin, &asked.Stdout, &asked.Stderr, &asked.TTY} {
		*on, _ = strconv.ParseBool(query.Get(flags[i]))
	}
	for _, list := range append(query["port"], query["ports"]...) {
		for _, word := range strings.Split(list, ",") {
			if port, err := strconv.ParseInt(word, 10, 32); err == nil {
				asked.Ports = append(asked.Ports, int32(port))
			}
		}
	}
	return asked, asked.Verb == "exec" || asked.Verb == "attach" || asked.Verb == "portforward"
}

// answers to what kubectl asks before it asks for a pod.
var answers = map[string]string{
	"/api":    `{"kind":"APIVersions","versions":["v1"]}`,
	"/apis":   `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
	"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","namespaced":true,"kind":"Pod","verbs":["get"]}]}`,
}

// Pod answers a client that looks the pod up before it asks for a session; false if r asks for something else.
func Pod(w http.ResponseWriter, r *http.Request) bool {
	words := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	answer, known := answers[r.URL.Path]
	if len(words) == 6 && words[0] == "api" && words[4] == "pods" {
		answer, known = fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q,"namespace":%q},`+
			`"spec":{"containers":[{"name":"main","stdin":true}]},"status":{"phase":"Running"}}`, words[5], words[3]), true
	}
	if !known || r.Method != http.MethodGet {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, answer)
	return true
}

// Location is where a kubelet behind upstream has the same, as an API server's strategy.go writes it.
func (asked Request) Location(upstream url.URL) *url.URL {
	query := url.Values{}
	for name, on := range map[string]bool{"input": asked.Stdin, "output": asked.Stdout, "error": asked.Stderr, "tty": asked.TTY} {
		if on {
			query.Set(name, "1")
		}
	}
	verb, container := asked.Verb, "/"+asked.Container
	if verb == "portforward" {
		verb, container = "portForward", ""
		var ports []string
		for _, port := range asked.Ports {
			ports = append(ports, strconv.Itoa(int(port)))
		}
		if ports != nil {
			query.Set("port", strings.Join(ports, ","))
		}
	}
	for _, word := range asked.Command {
		query.Add("command", word)
	}
	upstream.Path, upstream.RawQuery = "/"+verb+"/"+asked.Namespace+"/"+asked.Pod+container, query.Encode()
	return &upstream
}
