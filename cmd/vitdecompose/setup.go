package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"vitdecompose/gomlxvit/backend"
)

func newSetup() *cobra.Command {
	var device string
	c := &cobra.Command{
		Use:   "setup",
		Short: "Fetch the XLA plugin if it is missing",
		Long: `Fetch the XLA plugin if it is missing.

For the CPU the plugin is the one already installed (in a directory that
PJRT_PLUGIN_LIBRARY_PATH names, or where go-xla puts it), else the one of go-xla's
release, else the one in a Python package. It is kept in the user's cache directory
once its SHA-256 has been checked. If none can be reached, the pure-Go backend is used,
which is about 50 times slower, and setup says so.

The default device is the one that GOMLX_BACKEND names, else the CPU.`,
		Example: `  vitdecompose setup
  vitdecompose setup --device cuda`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if device == "" {
				wanted, err := backend.Wanted()
				if err != nil {
					return err
				}
				device = wanted
			}
			return setup(c.Context(), device, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&device, "device", "", "what computes: cpu, cuda or tpu")
	takes(c.Flags(), "device", "cpu|cuda|tpu")
	return c
}

// setup makes the plugin of a device available and opens it once, because a
// plugin that is whole can still need another system library.
func setup(ctx context.Context, device string, stdout, stderr io.Writer) error {
	var p backend.Plugin
	var err error
	switch device {
	case "":
		fmt.Fprintln(stdout, "no plugin to fetch: GOMLX_BACKEND names a backend that needs none")
		return nil
	case "cpu":
		p, err = backend.Setup(ctx, stdout)
		if errors.Is(err, backend.ErrNoPlugin) {
			fmt.Fprintln(stderr, backend.FallbackLine)
			return nil
		}
	case "cuda", "tpu":
		p, err = backend.SetupAccelerator(ctx, device, stdout)
	default:
		return usagef("--device %s: no such device; use cpu, cuda or tpu", device)
	}
	if err != nil {
		return err
	}
	b, err := backend.Open("xla:" + p.Path)
	if err != nil {
		return err
	}
	defer b.Finalize()
	_, err = fmt.Fprintln(stdout, b.Description())
	return err
}
