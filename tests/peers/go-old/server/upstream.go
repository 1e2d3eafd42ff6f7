package main

import (
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubelet/pkg/cri/streaming"
)

type (
	streamingServer = streaming.Server
	terminalSize    = remotecommand.TerminalSize
)

var (
	newServer     = streaming.NewServer
	defaultConfig = streaming.DefaultConfig
	writeError    = streaming.WriteError
)
