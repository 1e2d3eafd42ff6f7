// Command server is the streaming server of upstream's container runtimes, with this host for a runtime. It takes an API server's or a
// kubelet's requests, and hands each to the server under a token, as a kubelet does after it has asked the runtime for a URL. Where the server
// comes from stands in upstream.go; this file is the same for all versions.
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"
	"strait.test/host"
)

type runtime struct{}

func (runtime) Exec(ctx context.Context, _ string, command []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan terminalSize) error {
	sizes := make(chan host.Size)
	go func() {
		defer close(sizes)
		for size := range resize {
			sizes <- host.Size{Columns: size.Width, Rows: size.Height}
		}
	}()
	// A nil *stream in an interface is not nil.
	var stdout, stderr io.Writer
	if out != nil {
		stdout = out
	}
	if err != nil {
		stderr = err
	}
	failed := host.Run(ctx, command, in, stdout, stderr, tty, sizes)
	var exit host.Exit
	if errors.As(failed, &exit) {
		return utilexec.CodeExitError{Err: exit, Code: int(exit)}
	}
	return failed
}

// Attach joins a process that nobody else has.
func (r runtime) Attach(ctx context.Context, id string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan terminalSize) error {
	return r.Exec(ctx, id, []string{"sh", "-c", os.Getenv("MAIN")}, in, out, err, tty, resize)
}

func (runtime) PortForward(ctx context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	return host.Forward(ctx, port, stream)
}

func main() {
	config := defaultConfig
	config.BaseURL = &url.URL{Scheme: "http", Host: "cri", Path: "/"}
	server, err := newServer(config, runtime{})
	host.Check(err)
	listener, err := host.Listen()
	host.Check(err)
	host.Check(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host.Pod(w, r) {
			return
		}
		location, err := ask(server, r)
		if err != nil {
			writeError(err, w)
			return
		}
		r.URL = location
		server.ServeHTTP(w, r)
	})))
}

// ask gets the URL for a request from the runtime.
func ask(server streamingServer, r *http.Request) (*url.URL, error) {
	asked, ok := host.Asked(r)
	if !ok {
		return nil, errors.New("no such resource")
	}
	var location string
	switch asked.Verb {
	case "exec":
		response, err := server.GetExec(&runtimeapi.ExecRequest{ContainerId: asked.Container, Cmd: asked.Command,
			Stdin: asked.Stdin, Stdout: asked.Stdout, Stderr: asked.Stderr, Tty: asked.TTY})
		if err != nil {
			return nil, err
		}
		location = response.Url
	case "attach":
		response, err := server.GetAttach(&runtimeapi.AttachRequest{ContainerId: asked.Container,
			Stdin: asked.Stdin, Stdout: asked.Stdout, Stderr: asked.Stderr, Tty: asked.TTY})
		if err != nil {
			return nil, err
		}
		location = response.Url
	default:
		response, err := server.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: asked.Pod, Port: asked.Ports})
		if err != nil {
			return nil, err
		}
		location = response.Url
	}
	return url.Parse(location)
}
