//go:build programs

// Package programs names the programs that `cargo xtask interop` builds from this module.
package programs

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
