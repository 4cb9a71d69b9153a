package backend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/gomlx/backends/default" // registers xla, where it is supported, and go
)

// Devices that XLA is asked for by name.
var devices = []string{"cpu", "cuda", "tpu"}

// spec is a backend as GOMLX_BACKEND writes it: "xla:cuda,memory_fraction=0.5"
// is the backend xla on the device cuda with an option.
type spec struct {
	backend string // "xla", "go", or "" for: what is there
	device  string // of xla: "cpu", "cuda", "tpu", or the absolute path of a plugin
	options string // what follows the first comma, or for go the colon
}

// parseSpec reads a backend's name; from says where it was written, for the error.
func parseSpec(s, from string) (spec, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(s), ":")
	switch name {
	case "":
		if rest == "" {
			return spec{}, nil
		}
	case "go":
		return spec{backend: "go", options: rest}, nil
	case "xla":
		device, options, _ := strings.Cut(rest, ",")
		if device == "" {
			device = "cpu"
		}
		if slices.Contains(devices, device) || filepath.IsAbs(device) {
			return spec{backend: "xla", device: device, options: options}, nil
		}
	}
	return spec{}, fmt.Errorf("%s: unknown backend %q; use xla:cpu, xla:cuda, xla:tpu, xla:/path/of/a/plugin or go", from, s)
}

// choice is the backend that a specification leads to on this machine.
type choice struct {
	spec
	from     string  // where the specification was written
	plugin   *Plugin // of xla
	fallback bool    // go, because xla:cpu has no plugin here and nobody asked for a backend
}

// config is what GoMLX is asked for. The plugin goes in as an absolute path:
// go-xla reads the directories to search when the process starts, before Open
// can say where the cache is, and loads whatever lies in them to see what it is.
func (c choice) config() string {
	if c.backend == "go" {
		// With operations side by side, GoMLX's pool of workers can come to a standstill: all wait for one another's help
		// with their products. One operation at a time still uses all cores.
		return "go:" + strings.Trim("ops_sequential,"+c.options, ",")
	}
	options := c.options
	if c.plugin.Device == "cuda" && !strings.Contains(options, "tf32") {
		// TF32 keeps 10 bits of the mantissa: sums of components would no longer
		// be the representation to 1e-5.
		options = strings.Trim("tf32=false,"+options, ",")
	}
	if options != "" {
		options = "," + options
	}
	return "xla:" + c.plugin.Path + options
}

// choose finds the backend for a specification, GOMLX_BACKEND for an empty one.
func choose(s string) (choice, error) {
	from := "backend"
	if s == "" {
		s, from = os.Getenv(compute.ConfigEnvVar), compute.ConfigEnvVar
	}
	parsed, err := parseSpec(s, from)
	if err != nil {
		return choice{}, err
	}
	c := choice{spec: parsed, from: from}
	anything := c.backend == ""
	if anything {
		c.spec = spec{backend: "xla", device: "cpu"}
	}
	if c.backend == "go" {
		return c, nil
	}
	if !slices.Contains(compute.List(), "xla") {
		if anything {
			c.spec, c.fallback = spec{backend: "go"}, true
			return c, nil
		}
		return choice{}, fmt.Errorf("%s: this build has no XLA; use go", from)
	}
	var p Plugin
	if filepath.IsAbs(c.device) {
		p = Plugin{Device: deviceOf(c.device), Path: c.device, Place: "named in " + from}
	} else {
		p, err = Find(c.device)
	}
	if errors.Is(err, ErrNoPlugin) {
		if anything {
			c.spec, c.fallback = spec{backend: "go"}, true
			return c, nil
		}
		return choice{}, fmt.Errorf("%s: %w; %s", from, err, cure(c.device))
	}
	if err == nil {
		err = p.Check()
	}
	if err != nil {
		return choice{}, err
	}
	c.plugin = &p
	return c, nil
}

// deviceOf guesses the device of a plugin from its file name.
func deviceOf(path string) string {
	name := filepath.Base(path)
	for _, d := range devices {
		if strings.Contains(name, d) {
			return d
		}
	}
	return name
}

// cure says how to get the plugin of a device.
func cure(device string) string {
	switch device {
	case "cpu":
		return "`vitdecompose setup` fetches it"
	case "cuda":
		return "`vitdecompose setup --device cuda` fetches it and NVIDIA's libraries"
	}
	return "`vitdecompose setup --device " + device + "` fetches it"
}

// Open returns the backend that a specification names: "xla:cpu", "xla:cuda",
// "xla:tpu" (each with go-xla's options behind a comma), "xla:" and the absolute
// path of a plugin, or "go". An empty specification stands for the environment
// variable GOMLX_BACKEND, and when that is empty too for xla:cpu where there is
// a plugin and else for go, which a line on standard error says once.
//
// TF32 is off on GPUs unless the options ask for it. The environment of this
// process, and so of those it starts, afterwards names the plugin's directory in
// PJRT_PLUGIN_LIBRARY_PATH and forbids go-xla to download another one. Open does
// not panic; a damaged plugin is a [DamagedError].
func Open(spec string) (b compute.Backend, err error) {
	c, err := choose(spec)
	if err != nil {
		return nil, err
	}
	if c.fallback {
		warnOnce.Do(func() { fmt.Fprintln(warnings, FallbackLine) })
	}
	return c.open()
}

// FallbackLine is what a user should know about the pure-Go backend.
const FallbackLine = "no XLA plugin here: computing with the pure-Go backend, about 50 times slower; `vitdecompose setup` fetches the plugin"

var (
	warnOnce sync.Once
	warnings io.Writer = os.Stderr
)

func (c choice) open() (b compute.Backend, err error) {
	defer func() {
		if r := recover(); r != nil {
			b, err = nil, fmt.Errorf("cannot open the backend %s: %v", c.config(), r)
		}
	}()
	if c.plugin != nil {
		if err := c.setEnvironment(); err != nil {
			return nil, err
		}
	}
	b, err = compute.NewWithConfig(c.config())
	if err != nil {
		return nil, fmt.Errorf("cannot open the backend %s: %w", c.config(), err)
	}
	return b, nil
}

// setEnvironment makes processes that this one starts use the same plugin.
func (c choice) setEnvironment() error {
	if err := os.Setenv("GOMLX_NO_AUTO_INSTALL", "1"); err != nil {
		return err
	}
	dir := filepath.Dir(c.plugin.Path)
	if path := os.Getenv(pathVariable); path == "" {
		return os.Setenv(pathVariable, dir)
	} else if !slices.Contains(filepath.SplitList(path), dir) {
		return os.Setenv(pathVariable, dir+string(os.PathListSeparator)+path)
	}
	return nil
}

// Wanted returns the device whose plugin GOMLX_BACKEND needs: "cpu" when it is
// empty, "" when it names the pure-Go backend or the path of a plugin.
func Wanted() (device string, err error) {
	s, err := parseSpec(os.Getenv(compute.ConfigEnvVar), compute.ConfigEnvVar)
	switch {
	case err != nil:
		return "", err
	case s.backend == "":
		return "cpu", nil
	case s.backend == "go" || filepath.IsAbs(s.device):
		return "", nil
	}
	return s.device, nil
}
