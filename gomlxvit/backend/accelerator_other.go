//go:build !(linux && amd64)

package backend

import (
	"fmt"
	"runtime"
)

// installAccelerator refuses: GPU and TPU plugins are published for Linux on x86-64.
func installAccelerator(device, _ string) error {
	return fmt.Errorf("there is no plugin for %s/%s; put one into a directory that PJRT_PLUGIN_LIBRARY_PATH names", runtime.GOOS, runtime.GOARCH)
}
