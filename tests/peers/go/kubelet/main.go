// Command kubelet is what a kubelet has in front of a container runtime: it runs a pod through the runtime's socket, asks there for a URL for
// each session, and hands the session on to that URL's server, or to a gateway in front of it.
//
//	kubelet SOCKET SHARED-DIRECTORY [GATEWAY]
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apimachinery/pkg/util/proxy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"strait.test/host"
)

const image = "strait.test/busybox:1"

// pod is one with a main process that sends back what it is sent.
type pod struct {
	runtime            runtimeapi.RuntimeServiceClient
	sandbox, container string
}

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

func main() {
	connection, err := grpc.NewClient("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	host.Check(err)
	own := pod{runtime: runtimeapi.NewRuntimeServiceClient(connection)}
	host.Check(own.start(os.Args[2]))
	var gateway *url.URL
	if len(os.Args) > 3 {
		gateway, err = url.Parse(os.Args[3])
		host.Check(err)
	}
	listener, err := host.Listen()
	host.Check(err)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { own.serve(w, r, gateway) }))
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	<-asked
	own.end()
}

// start runs a container in the network of this host, with a directory that both have.
func (own *pod) start(shared string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name := fmt.Sprint("pod-", os.Getpid())
	security := &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE}
	config := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name},
		LogDirectory: os.TempDir(),
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: security},
		},
	}
	sandbox, err := own.runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	if err != nil {
		return err
	}
	own.sandbox = sandbox.PodSandboxId
	created, err := own.runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId:  own.sandbox,
		SandboxConfig: config,
		Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: "main"},
			Image:    &runtimeapi.ImageSpec{Image: image},
			Command:  []string{"cat"},
			Stdin:    true,
			Mounts:   []*runtimeapi.Mount{{HostPath: shared, ContainerPath: shared}},
			Linux: &runtimeapi.LinuxContainerConfig{
				SecurityContext: &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: security},
			},
		},
	})
	if err == nil {
		own.container = created.ContainerId
		_, err = own.runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: own.container})
	}
	if err != nil {
		own.end()
	}
	return err
}

func (own *pod) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	own.runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: own.sandbox})
	own.runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: own.sandbox})
}

func (own *pod) serve(w http.ResponseWriter, r *http.Request, gateway *url.URL) {
	if host.Pod(w, r) {
		return
	}
	location, err := own.ask(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if gateway != nil {
		location.Host = gateway.Host
	}
	proxy.NewUpgradeAwareHandler(location, &http.Transport{}, false, true, responder{}).ServeHTTP(w, r)
}

// ask gets the URL for a request from the runtime, which serves it once. What was asked for stands in its query: the runtime knows it, but a
// gateway that translates does not.
func (own *pod) ask(r *http.Request) (*url.URL, error) {
	asked, ok := host.Asked(r)
	if !ok {
		return nil, fmt.Errorf("no such resource: %s", r.URL.Path)
	}
	asked.Stderr = asked.Stderr && !asked.TTY
	location, err := own.location(r.Context(), asked)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(location)
	if err == nil {
		asked.Command = nil
		parsed.RawQuery = asked.Location(url.URL{}).RawQuery
	}
	return parsed, err
}

func (own *pod) location(ctx context.Context, asked host.Request) (string, error) {
	switch asked.Verb {
	case "exec":
		response, err := own.runtime.Exec(ctx, &runtimeapi.ExecRequest{ContainerId: own.container, Cmd: asked.Command,
			Stdin: asked.Stdin, Stdout: asked.Stdout, Stderr: asked.Stderr, Tty: asked.TTY})
		return response.GetUrl(), err
	case "attach":
		response, err := own.runtime.Attach(ctx, &runtimeapi.AttachRequest{ContainerId: own.container,
			Stdin: asked.Stdin, Stdout: asked.Stdout, Stderr: asked.Stderr, Tty: asked.TTY})
		return response.GetUrl(), err
	default:
		response, err := own.runtime.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: own.sandbox, Port: asked.Ports})
		return response.GetUrl(), err
	}
}
