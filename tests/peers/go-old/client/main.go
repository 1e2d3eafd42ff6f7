// Command client is client-go from before it knew WebSocket, with a command line like kubectl's.
package main

import (
	"context"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
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
	location := line.URL()
	if line.Verb == "port-forward" {
		transport, upgrader, err := spdy.RoundTripperFor(config)
		host.Check(err)
		dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", location)
		forwarder, err := portforward.New(dialer, line.Ports, nil, nil, os.Stdout, os.Stderr)
		host.Check(err)
		host.Check(forwarder.ForwardPorts())
		return
	}
	in, out, err := line.Streams()
	options := remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: err, Tty: line.TTY}
	restore := func() {}
	if line.TTY {
		queue, undo := host.Terminal()
		options.TerminalSizeQueue, restore = sizes(queue), undo
	}
	executor, failed := remotecommand.NewSPDYExecutor(config, "POST", location)
	host.Check(failed)
	ended := executor.StreamWithContext(context.Background(), options)
	restore()
	host.End(ended)
}
