package backend

import (
	"fmt"

	"github.com/gomlx/go-xla/installer"
)

// installAccelerator runs go-xla's installer.
func installAccelerator(device, dir string) error {
	switch device {
	case "cuda":
		return installer.CudaInstall("cuda13", "latest", dir, false, installer.Normal)
	case "tpu":
		return installer.TPUInstall("tpu", "latest", dir, false, installer.Normal)
	}
	return fmt.Errorf("no such accelerator; use cuda or tpu")
}
