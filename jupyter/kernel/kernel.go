// Package kernel makes the Jupyter kernel of this project's notebooks known to a JupyterLab that the user already has.
//
// The kernel is GoNB, started by a script of the checkout. The kernelspec that [Checkout.Install] writes names the
// checkout by its full path, so the notebooks run whichever folder Jupyter is started in:
//
//	checkout, err := kernel.Find()
//	...
//	path, err := checkout.Install(kernel.PrefixDir("/opt/conda"))
package kernel

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"vitdecompose/data/atomicfile"
)

// Name is what notebooks and Jupyter call the kernel, DisplayName what people read.
const (
	Name        = "vitdecompose"
	DisplayName = "Go (vitdecompose)"
)

// tools are the programs that the kernel calls; go has to be there already, the others `make kernel` builds.
var tools = []string{"go", "gonb", "goimports", "gopls"}

// Checkout is the directory of this project's source, by its full path.
type Checkout string

// Find returns the checkout that the running program was built into, else the one around the working directory.
func Find() (Checkout, error) {
	var from []string
	if program, err := os.Executable(); err == nil {
		from = append(from, filepath.Dir(program))
	}
	if dir, err := os.Getwd(); err == nil {
		from = append(from, dir)
	}
	return find(from...)
}

func find(from ...string) (Checkout, error) {
	for _, dir := range from {
		for ; ; dir = filepath.Dir(dir) {
			if isCheckout(dir) {
				return Checkout(dir), nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("there is no checkout of vitdecompose here: the notebook kernel needs its source; run bin/vitdecompose from a checkout")
}

// isCheckout reports whether the directory's go.mod begins with this module.
func isCheckout(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 1<<10)).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "module vitdecompose"
}

// Specs is where the committed kernelspec lies, as an entry of JUPYTER_PATH.
func (c Checkout) Specs() string { return filepath.Join(string(c), ".jupyter", "share", "jupyter") }

// The files of the kernelspec: the script that starts the kernel, and what stands in for a kernel that cannot start.
const (
	startFile = "start.sh"
	standIn   = "unavailable.py"
)

// start is the script that starts the kernel.
func (c Checkout) start() string { return filepath.Join(specDir(c.Specs()), startFile) }

// bin is where `make kernel` puts the kernel's programs.
func (c Checkout) bin() string { return filepath.Join(string(c), ".jupyter", "bin") }

// specDir is the directory of the kernelspec below one of Jupyter's data directories.
func specDir(data string) string { return filepath.Join(data, "kernels", Name) }

// Check returns an error that names the programs that the kernel lacks and says what to do.
func (c Checkout) Check() error {
	var missing []string
	for _, name := range tools {
		if _, err := exec.LookPath(filepath.Join(c.bin(), name)); err == nil {
			continue
		}
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	switch {
	case len(missing) == 0:
	case missing[0] == "go":
		return errors.New("the notebook kernel needs go: install Go 1.26 or newer")
	default:
		return fmt.Errorf("the notebook kernel needs %s: run `make kernel` in %s", strings.Join(missing, ", "), c)
	}
	for _, name := range []string{startFile, standIn} {
		if _, err := os.Stat(filepath.Join(specDir(c.Specs()), name)); err != nil {
			return fmt.Errorf("the notebook kernel: %w; take it from the repository again", err)
		}
	}
	return nil
}

// checkoutArgument is where an installed kernelspec's command names the checkout.
const checkoutArgument = 4

// spec is a kernelspec as Jupyter reads it:
// https://jupyter-client.readthedocs.io/en/latest/kernels.html#kernel-specs.
type spec struct {
	Argv          []string `json:"argv"`
	DisplayName   string   `json:"display_name"`
	Language      string   `json:"language"`
	InterruptMode string   `json:"interrupt_mode"`
}

// Install writes the kernelspec below one of Jupyter's data directories, see [UserDir] and [PrefixDir], and returns its
// path. It refuses when the kernel lacks a program. What is there under this kernel's name is replaced. The start script
// goes with it, so that notebooks say where to look when the checkout has been moved.
func (c Checkout) Install(data string) (string, error) {
	if err := c.Check(); err != nil {
		return "", err
	}
	dir := specDir(data)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("the kernelspec cannot be written: %w", err)
	}
	for _, name := range []string{standIn, startFile} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(specDir(c.Specs()), name)); err != nil {
			return "", fmt.Errorf("the kernelspec cannot be written: %w", err)
		}
	}
	path := filepath.Join(dir, "kernel.json")
	return path, atomicfile.Write(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(spec{
			Argv:          []string{"sh", "{resource_dir}/" + startFile, "{connection_file}", "{prefix}", string(c)},
			DisplayName:   DisplayName,
			Language:      "go",
			InterruptMode: "message",
		})
	})
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return atomicfile.Write(to, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// UserDir is the data directory of Jupyter that every installation of this user reads.
func UserDir() (string, error) {
	if dir := os.Getenv("JUPYTER_DATA_DIR"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no directory for the kernelspec: %w; set JUPYTER_DATA_DIR or name a --prefix", err)
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Jupyter"), nil
	case "linux":
		if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
			return filepath.Join(dir, "jupyter"), nil
		}
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}

// PrefixDir is the data directory of a Jupyter that was installed under a prefix, as a virtual environment is.
func PrefixDir(prefix string) string { return filepath.Join(prefix, "share", "jupyter") }

// Installed returns the path of the kernelspec that Jupyter finds first outside the checkout, as it would be started
// from this environment: JUPYTER_PATH, the active virtual environment, the user's directory, the system's. The error
// wraps [fs.ErrNotExist] where there is none; another error is a kernelspec whose checkout is gone.
func Installed() (string, error) {
	dirs := filepath.SplitList(os.Getenv("JUPYTER_PATH"))
	if dir, err := UserDir(); err == nil {
		dirs = append(dirs, dir)
	}
	for _, prefix := range []string{os.Getenv("VIRTUAL_ENV"), os.Getenv("CONDA_PREFIX"), "/usr/local", "/usr"} {
		if prefix != "" {
			dirs = append(dirs, PrefixDir(prefix))
		}
	}
	for _, dir := range dirs {
		path := filepath.Join(specDir(dir), "kernel.json")
		err := readable(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", fmt.Errorf("the kernelspec %s: %w", Name, fs.ErrNotExist)
}

// maxSpec is the largest kernelspec that is read.
const maxSpec = 1 << 20

// readable checks a kernelspec and that the script which it starts is there. The error wraps fs.ErrNotExist only when
// the kernelspec itself is missing.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	remedy := "run `vitdecompose kernel install` again"
	var s spec
	if err := json.NewDecoder(io.LimitReader(f, maxSpec)).Decode(&s); err != nil {
		return fmt.Errorf("%s: not a kernelspec (%v): %s", path, err, remedy)
	}
	if len(s.Argv) < 2 {
		return fmt.Errorf("%s: it does not say what to start: %s", path, remedy)
	}
	scripts := []string{strings.ReplaceAll(s.Argv[1], "{resource_dir}", filepath.Dir(path))}
	if len(s.Argv) > checkoutArgument {
		scripts = append(scripts, Checkout(s.Argv[checkoutArgument]).start())
	}
	for _, script := range scripts {
		if _, err := os.Stat(script); err != nil {
			return fmt.Errorf("%s: it starts %s, which is gone: %s", path, script, remedy)
		}
	}
	return nil
}

// Describe says in a line whether the notebooks' kernel is there, and in another what to do where it is not; "" where nothing
// is missing.
func Describe() (state, advice string) {
	c, err := Find()
	if err != nil {
		return "none", err.Error()
	}
	if err := c.Check(); err != nil {
		return "not built", err.Error()
	}
	switch path, err := Installed(); {
	case err == nil:
		return "there, and known to your Jupyter by " + path, ""
	case errors.Is(err, fs.ErrNotExist):
		return "there; `make lab` opens JupyterLab with it, `vitdecompose kernel install` makes it known to your own", ""
	default:
		return "there, but not for your own Jupyter", err.Error()
	}
}
