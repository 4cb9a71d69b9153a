package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"vitdecompose/data/atomicfile"
)

// Limits of what is fetched: the plugin has about 270 MB.
const (
	maxDownload = 1 << 30
	maxPlugin   = 2 << 30
)

// source is one place outside this machine that has the CPU plugin.
type source struct {
	name string
	// open returns the plugin's bytes and what they must be; an empty SHA256 in
	// the manifest means that the source vouched for the archive around them.
	open func(ctx context.Context, say func(format string, args ...any)) (io.ReadCloser, manifest, error)
}

// sources are tried in this order.
func sources() []source {
	return []source{
		{name: "go-xla's release on GitHub", open: openRelease},
		{name: "the Python package " + wheelPackage, open: openWheel},
	}
}

// Setup makes sure that there is a CPU plugin: one that is installed already,
// else the one of go-xla's release, else the one in a Python package, each with
// its SHA-256 checked before it gets its name in the cache directory. A damaged
// plugin in the cache directory is replaced; one that somebody else put
// elsewhere is an error. What happens is told on w, a line each. The error wraps
// [ErrNoPlugin] when no source could be reached.
//
// Two Setups at the same time do no harm: the last one's plugin stays.
func Setup(ctx context.Context, w io.Writer) (Plugin, error) {
	return setup(ctx, w, sources())
}

func setup(ctx context.Context, w io.Writer, from []source) (Plugin, error) {
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	p, err := Find("cpu")
	if err == nil {
		err = p.Check()
	}
	var damaged *DamagedError
	switch {
	case err == nil:
		say("XLA plugin: %s (%s)", p.Path, p.Place)
		return p, nil
	case errors.As(err, &damaged) && damaged.Plugin.Cached:
		say("%v", err)
	case !errors.Is(err, ErrNoPlugin):
		return Plugin{}, err
	}

	dir, err := CacheDir()
	if err != nil {
		return Plugin{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Plugin{}, fmt.Errorf("cannot keep the XLA plugin: %w", err)
	}
	p = Plugin{Device: "cpu", Path: filepath.Join(dir, fileName("cpu")), Place: "fetched by vitdecompose setup", Cached: true}
	failed := []error{fmt.Errorf("%w for cpu", ErrNoPlugin)}
	for _, s := range from {
		err := install(ctx, s, p, say)
		if err == nil {
			say("XLA plugin: %s (from %s)", p.Path, s.name)
			return p, nil
		}
		if ctx.Err() != nil {
			return Plugin{}, ctx.Err()
		}
		say("not from %s: %v", s.name, err)
		failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
	}
	return Plugin{}, errors.Join(failed...)
}

// install brings the plugin from a source to its place.
func install(ctx context.Context, s source, p Plugin, say func(string, ...any)) error {
	r, m, err := s.open(ctx, say)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	var size int64
	err = atomicfile.Write(p.Path, func(w io.Writer) error {
		size, err = io.Copy(io.MultiWriter(w, h), io.LimitReader(r, maxPlugin))
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		sum := hex.EncodeToString(h.Sum(nil))
		switch {
		case m.Size != 0 && size != m.Size:
			return fmt.Errorf("the plugin has %d bytes, not %d", size, m.Size)
		case m.SHA256 != "" && sum != m.SHA256:
			return fmt.Errorf("the plugin's SHA-256 is %s, not %s", sum, m.SHA256)
		}
		m.SHA256, m.Size = sum, size
		return nil
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(p.Path)
	if err != nil {
		return err
	}
	m.Modified = info.ModTime()
	if err := p.checkELF(size); err != nil {
		return errors.Join(err, os.Remove(p.Path))
	}
	return writeManifest(p.Path, m)
}

// newClient returns an HTTP client that gives up soon on a host that cannot be
// reached, and not at all on a slow one that answers.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 8 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 8 * time.Second
	t.ResponseHeaderTimeout = 20 * time.Second
	return &http.Client{Transport: t}
}

// get answers a URL with a body of at most limit bytes.
func get(ctx context.Context, client *http.Client, url string, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", url, limit)
	}
	return b, nil
}

// download puts what a URL answers into a file, once its SHA-256 is the wanted
// one. It tries up to three times, and ends a try in which no byte came for a
// minute.
func download(ctx context.Context, client *http.Client, url, wantSHA256, path string) error {
	return again(ctx, func() error { return downloadOnce(ctx, client, url, wantSHA256, path) })
}

// again does what may fail for a moment up to three times.
func again(ctx context.Context, try func() error) error {
	err := try()
	for pause := retryPause; err != nil && ctx.Err() == nil && pause < 4*retryPause; pause *= 2 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		err = try()
	}
	return err
}

// retryPause is the time before the second try; tests shorten it.
var retryPause = 3 * time.Second

func downloadOnce(ctx context.Context, client *http.Client, url, wantSHA256, path string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	const patience = time.Minute
	stalled := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%s: no byte for %v", url, patience)) })
	defer stalled.Stop()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	h := sha256.New()
	return atomicfile.Write(path, func(w io.Writer) error {
		body := &watched{Reader: io.LimitReader(response.Body, maxDownload), moved: func() { stalled.Reset(patience) }}
		if _, err := io.Copy(io.MultiWriter(w, h), body); err != nil {
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		if sum := hex.EncodeToString(h.Sum(nil)); sum != wantSHA256 {
			return fmt.Errorf("%s: its SHA-256 is %s, not %s", url, sum, wantSHA256)
		}
		return nil
	})
}

// watched calls moved whenever bytes came.
type watched struct {
	io.Reader
	moved func()
}

func (r *watched) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if n > 0 {
		r.moved()
	}
	return n, err
}

// archived is a plugin being read out of an archive in a directory that goes
// when the reader is closed.
type archived struct {
	io.Reader
	closers []io.Closer
	dir     string
}

func (a *archived) Close() error {
	var errs []error
	for _, c := range a.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(a.dir))...)
}
