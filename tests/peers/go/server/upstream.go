package main

import (
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
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
