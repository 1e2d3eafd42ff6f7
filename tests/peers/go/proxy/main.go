// Command proxy has the API server's handlers in front of a kubelet, joined as its pod subresources join them: v5 WebSocket goes to the
// translator, a tunnel to the tunnelling handler, and everything else to the upgrade-aware proxy.
package main

import (
	"net/http"
	"net/url"
	"os"

	"k8s.io/apimachinery/pkg/util/proxy"
	translator "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	"strait.test/host"
)

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, "error dialing backend: "+err.Error(), http.StatusInternalServerError)
}

func main() {
	upstream, err := url.Parse(os.Args[1])
	host.Check(err)
	listener, err := host.Listen()
	host.Check(err)
	host.Check(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler(*upstream, r).ServeHTTP(w, r)
	})))
}

func handler(upstream url.URL, r *http.Request) http.Handler {
	asked, ok := host.Asked(r)
	if !ok {
		upstream.Path, upstream.RawQuery = r.URL.Path, r.URL.RawQuery
		return proxy.NewUpgradeAwareHandler(&upstream, http.DefaultTransport, false, false, responder{})
	}
	location := asked.Location(upstream)
	// The API server's transport to a kubelet is one of its own, without a proxy.
	transport := &http.Transport{}
	passed := proxy.NewUpgradeAwareHandler(location, transport, false, true, responder{})
	if asked.Verb == "portforward" {
		tunnel := translator.NewTunnelingHandler(passed)
		return translator.NewTranslatingHandler(passed, tunnel, wsstream.IsWebSocketRequestWithTunnelingProtocol)
	}
	options := translator.Options{Stdin: asked.Stdin, Stdout: asked.Stdout, Stderr: asked.Stderr, Tty: asked.TTY}
	translated := translator.NewStreamTranslatorHandler(location, transport, 0, options)
	return translator.NewTranslatingHandler(passed, translated, wsstream.IsWebSocketRequestWithStreamCloseProtocol)
}
