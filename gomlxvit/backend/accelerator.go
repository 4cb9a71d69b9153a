package backend

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/gomlx/go-xla/installer"
)

// SetupAccelerator makes sure that there is a plugin for a GPU ("cuda", with the
// libraries of NVIDIA that it needs) or a TPU ("tpu"). What is missing is
// installed by go-xla's installer from Python packages, whose hashes it
// compares, into go-xla's directory of the user: several gigabytes for cuda.
func SetupAccelerator(ctx context.Context, device string, w io.Writer) (Plugin, error) {
	if p, err := Find(device); err == nil {
		if err := p.Check(); err != nil {
			return Plugin{}, err
		}
		fmt.Fprintf(w, "XLA plugin: %s (%s)\n", p.Path, p.Place)
		return p, nil
	}
	library, err := installer.DefaultHomeLibPath()
	if err != nil {
		return Plugin{}, err
	}
	fmt.Fprintf(w, "installing XLA's plugin for %s into %s\n", device, library)
	installed := make(chan error, 1) // of one, so that an installer that is given up on can end
	go func() {
		installed <- installAccelerator(device, filepath.Join(library, "go-xla"))
	}()
	select {
	case err = <-installed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return Plugin{}, fmt.Errorf("installing XLA's plugin for %s: %w", device, err)
	}
	p, err := Find(device)
	if err != nil {
		return Plugin{}, err
	}
	return p, p.Check()
}
