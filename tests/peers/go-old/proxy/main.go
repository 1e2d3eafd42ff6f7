// Command proxy is what an API server had in front of a kubelet before there was a translator: the upgrade-aware proxy alone.
package main

import (
	"net/http"
	"net/url"
	"os"

	"k8s.io/apimachinery/pkg/util/proxy"
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
		location, streams := *upstream, false
		location.Path, location.RawQuery = r.URL.Path, r.URL.RawQuery
		if asked, ok := host.Asked(r); ok {
			location, streams = *asked.Location(*upstream), true
		}
		proxy.NewUpgradeAwareHandler(&location, &http.Transport{}, false, streams, responder{}).ServeHTTP(w, r)
	})))
}
