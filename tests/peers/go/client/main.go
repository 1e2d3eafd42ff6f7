// Command client is client-go with a command line like kubectl's. --transport picks the executor or the dialer: websocket, spdy, or
// fallback, which is kubectl's choice.
package main

import (
	"context"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"strait.test/host"
)

type sizes chan host.Size

func (s sizes) Next() *remotecommand.TerminalSize {
	size := <-s
	return &remotecommand.TerminalSize{Width: size.Columns, Height: size.Rows}
}

func main() {
	line := host.Arguments()
	config := &rest.Config{Host: line.Server}
	if line.Verb == "port-forward" {
		forwarder, err := portforward.NewForStreaming(dialer(line, config), line.Ports, nil, nil, os.Stdout, os.Stderr)
		host.Check(err)
		host.Check(forwarder.ForwardPorts())
		return
	}
	in, out, err := line.Streams()
	options := remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: err, Tty: line.TTY}
	restore := func() {}
	if line.TTY {
		options.TerminalSizeQueue, restore = terminal()
	}
	ended := executor(line, config).StreamWithContext(context.Background(), options)
	restore()
	host.End(ended)
}

func terminal() (sizes, func()) {
	queue, restore := host.Terminal()
	return queue, restore
}

// fall says what kubectl says of an error of the first try.
func fall(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

func executor(line host.Line, config *rest.Config) remotecommand.Executor {
	location := line.URL()
	websocket, err := remotecommand.NewWebSocketExecutor(config, "GET", location.String())
	host.Check(err)
	old, err := remotecommand.NewSPDYExecutor(config, "POST", location)
	host.Check(err)
	either, err := remotecommand.NewFallbackExecutor(websocket, old, fall)
	host.Check(err)
	return map[string]remotecommand.Executor{"websocket": websocket, "spdy": old, "fallback": either}[line.Transport]
}

func dialer(line host.Line, config *rest.Config) httpstream.Dialer {
	location := line.URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	host.Check(err)
	old := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, "POST", location)
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(location, config)
	host.Check(err)
	either := portforward.NewFallbackDialerForStreaming(tunnel, old, fall)
	return map[string]httpstream.Dialer{"websocket": tunnel, "spdy": old, "fallback": either}[line.Transport]
}
