package backend

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gomlx/go-xla/installer"
)

// The Python package whose wheel holds an unmodified build of XLA's CPU plugin
// (zml/pjrt-artifacts, Apache-2.0). Its version and hashes are pinned: nothing
// else is accepted under its name.
const (
	wheelPackage      = "fastatomstruct-xla-cpu"
	wheelVersion      = "2026.6.23"
	wheelSHA256       = "88b1c430b341b4bea40a37420311c9c75db6e22b46d2ff95b6986577bee6afe9"
	wheelSize         = 63200622 // bytes
	wheelMember       = "fastatomstruct_xla_cpu/libpjrt_cpu.so"
	wheelPluginSHA256 = "0a0fe56ca17be9efc7b942e89e534e5e0ad4a0f1e369b66d27b62184509015b9"
	wheelPluginSize   = 273768800 // bytes
)

// openWheel fetches the wheel with pip, which knows how this machine reaches
// its package index, or without pip straight from the index.
func openWheel(ctx context.Context, say func(string, ...any)) (io.ReadCloser, manifest, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return nil, manifest{}, fmt.Errorf("it is for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	dir, err := os.MkdirTemp("", "vitdecompose-plugin-")
	if err != nil {
		return nil, manifest{}, err
	}
	r := &archived{dir: dir}
	say("fetching the Python package %s %s (%d MB)", wheelPackage, wheelVersion, wheelSize/1000000)
	wheel, err := fetchWheel(ctx, dir, say)
	if err != nil {
		return nil, manifest{}, errors.Join(err, r.Close())
	}
	sum, err := hashFile(wheel)
	if err == nil && sum != wheelSHA256 {
		err = fmt.Errorf("the wheel's SHA-256 is %s, not %s", sum, wheelSHA256)
	}
	if err != nil {
		return nil, manifest{}, errors.Join(err, r.Close())
	}
	member, archive, err := pluginInWheel(wheel)
	if err != nil {
		return nil, manifest{}, errors.Join(fmt.Errorf("the wheel: %w", err), r.Close())
	}
	r.Reader, r.closers = member, append([]io.Closer{member, archive}, r.closers...)
	return r, manifest{
		Source: wheelPackage, Version: wheelVersion,
		SHA256: wheelPluginSHA256, Size: wheelPluginSize,
	}, nil
}

// pluginInWheel opens the plugin in a wheel, and the wheel, to be closed after it.
func pluginInWheel(wheel string) (plugin io.ReadCloser, archive io.Closer, err error) {
	zipped, err := zip.OpenReader(wheel)
	if err != nil {
		return nil, nil, err
	}
	member, err := zipped.Open(wheelMember)
	if err != nil {
		return nil, nil, errors.Join(err, zipped.Close())
	}
	return member, zipped, nil
}

// fetchWheel puts the wheel into a directory and returns its path.
func fetchWheel(ctx context.Context, dir string, say func(string, ...any)) (wheel string, err error) {
	missing := false
	pip := again(ctx, func() error {
		wheel, err = pipDownload(ctx, dir)
		if missing = errors.Is(err, errNoPip); missing {
			return nil // which another try does not change
		}
		return err
	})
	if missing {
		pip = errNoPip
	}
	if pip == nil || ctx.Err() != nil {
		return wheel, pip
	}
	say("pip did not fetch it (%v), trying without pip", pip)
	if wheel, err = indexDownload(ctx, dir); err != nil {
		return "", fmt.Errorf("pip: %w; without pip: %w", pip, err)
	}
	return wheel, nil
}

// errNoPip says that pip is missing, not that it failed.
var errNoPip = errors.New("no python3 with pip on PATH")

// pipDownload lets pip put the wheel into a directory and returns its path.
func pipDownload(ctx context.Context, dir string) (string, error) {
	python := ""
	for _, name := range []string{"python3", "python"} {
		if found, err := exec.LookPath(name); err == nil {
			python = found
			break
		}
	}
	if python == "" {
		return "", errNoPip
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--no-deps",
		"--only-binary=:all:", "--disable-pip-version-check", "--no-input",
		"--retries", "4", "--timeout", "30", "--dest", dir, wheelPackage+"=="+wheelVersion)
	command.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		if strings.Contains(out.String(), "No module named pip") {
			return "", errNoPip
		}
		return "", fmt.Errorf("%w: %s", err, lastLine(out.String()))
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil {
		return "", err
	}
	if len(wheels) != 1 {
		return "", fmt.Errorf("it left %d wheels in place of one", len(wheels))
	}
	return wheels[0], nil
}

// lastLine is what a program said last, which is where pip puts the reason.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// indexDownload asks the Python package index where the wheel is, and fetches it.
func indexDownload(ctx context.Context, dir string) (string, error) {
	type answer struct {
		info *installer.PipPackageInfo
		err  error
	}
	answers := make(chan answer, 1) // of one, so that a late answer blocks nobody
	go func() {
		info, err := installer.GetPipInfo(wheelPackage)
		answers <- answer{info, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(15 * time.Second):
		return "", errors.New("the Python package index did not answer within 15 seconds")
	}
	if a.err != nil {
		return "", a.err
	}
	for _, file := range a.info.Releases[wheelVersion] {
		if file.Digests["sha256"] == wheelSHA256 {
			if !strings.HasPrefix(file.URL, "https://") {
				return "", fmt.Errorf("the Python package index names no https address of the wheel, but %q", file.URL)
			}
			path := filepath.Join(dir, "plugin.whl")
			return path, download(ctx, newClient(), file.URL, wheelSHA256, path)
		}
	}
	return "", fmt.Errorf("the Python package index has no wheel %s %s with the pinned SHA-256", wheelPackage, wheelVersion)
}
