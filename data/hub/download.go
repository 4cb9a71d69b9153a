package hub

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"vitdecompose/data/atomicfile"
)

// download brings one file into the cache, unless it is there.
func (r repository) download(ctx context.Context, s *Snapshot, name string) error {
	known, ok := s.files[name]
	if !ok {
		return fmt.Errorf("%s: there is no %s", r.ref, name)
	}
	path := s.Path(name)
	if _, err := os.Stat(path); err == nil {
		return s.checkSize(name)
	}
	blob := path // where no hash is known, the file itself
	if hash := cmp.Or(known.sha256, known.gitSHA1); hash != "" {
		blob = filepath.Join(r.dir, "blobs", hash)
	}
	for _, file := range []string{path, blob} {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return fmt.Errorf("%s: %w", r.ref, err)
		}
	}
	// Another program's download that broke off may have left a link to nowhere.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", r.ref, err)
	}
	// A file of the right size and name is from another revision. One of another size cannot be right.
	if info, err := os.Stat(blob); err != nil || known.size > 0 && info.Size() != known.size {
		if err := r.transfer(ctx, s, name, blob); err != nil {
			return err
		}
	}
	if blob == path {
		return nil
	}
	target, err := filepath.Rel(filepath.Dir(path), blob)
	if err == nil {
		err = os.Symlink(target, path)
	}
	if errors.Is(err, fs.ErrExist) { // another process was faster
		err = nil
	}
	if err != nil { // no links here: the file itself, as huggingface_hub does it
		err = os.Rename(blob, path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.ref, err)
	}
	return nil
}

// transfer downloads a file of a snapshot to a place in the cache.
func (r repository) transfer(ctx context.Context, s *Snapshot, name, place string) error {
	known := s.files[name]
	if known.size > 1<<20 {
		r.notice("downloading %s (%d MB)", name, known.size>>20)
	}
	file, err := atomicfile.Create(place)
	if err != nil {
		return fmt.Errorf("%s: %w", r.ref, err)
	}
	got := &received{file: file, known: known}
	err = r.receive(ctx, r.filePath(filepath.Base(s.Dir), name), got)
	switch refused := (*statusError)(nil); {
	case ctx.Err() != nil:
		err = fmt.Errorf("%s: %s cannot be downloaded: %w", r.ref, name, context.Cause(ctx))
	case errors.As(err, &refused):
		err = fmt.Errorf("%s: %s cannot be downloaded: %s %w", r.ref, name, r.hub.Endpoint, refused)
	case errors.Is(err, errPage):
		err = fmt.Errorf("%s: %s cannot be downloaded: %s %w", r.ref, name, r.hub.Endpoint, err)
	case err != nil:
		err = fmt.Errorf("%s: the download of %s broke off after %d bytes: %w; try again", r.ref, name, got.size, brief(err))
	default:
		if err = known.compare(got.size, got.hash); err != nil {
			err = fmt.Errorf("%s: the download of %s is damaged: %w; try again", r.ref, name, err)
		}
	}
	if err == nil {
		err = file.Truncate(got.size) // an attempt before the last may have written more
	}
	if err != nil {
		return errors.Join(err, file.Abort())
	}
	return file.Commit()
}

// filePath is where the server has a file of a revision.
func (r repository) filePath(commit, name string) string {
	segments := strings.Split(name, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	prefix := "/"
	if r.kind != Models {
		prefix += string(r.kind) + "/"
	}
	return prefix + r.id + "/resolve/" + commit + "/" + strings.Join(segments, "/")
}

// receive gets all of a path of the server, in several pieces if the connection breaks off.
func (r repository) receive(ctx context.Context, path string, got *received) error {
	return retry(ctx, func() error { return r.receivePart(ctx, path, got) }, func(err error) bool { return !errors.Is(err, errPage) })
}

// errPage says that what came is not the file, but what a proxy or a page for logging in shows to people.
var errPage = errors.New("sends a web page in place of the file: check the network (a proxy, a page for logging in) and HF_ENDPOINT")

// isPage reports whether a file begins like a web page and is not called like one.
func isPage(name string, begin []byte) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm", ".xhtml", ".md":
		return false
	}
	begin = bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(begin, []byte("\ufeff")), " \t\r\n"))
	return bytes.HasPrefix(begin, []byte("<!doctype html")) || bytes.HasPrefix(begin, []byte("<html"))
}

func (r repository) receivePart(ctx context.Context, path string, got *received) error {
	response, err := r.get(ctx, path, got.size)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent {
		got.restart(response.ContentLength)
	} else if at := response.Header.Get("Content-Range"); !strings.HasPrefix(at, fmt.Sprintf("bytes %d-", got.size)) {
		return fmt.Errorf("the server sends %q, but was asked for the bytes after %d", at, got.size)
	}
	// More than was announced is not read to its end.
	limit := int64(1) << 62
	if got.known.size > 0 {
		limit = got.known.size - got.size + 1
	}
	body := bufio.NewReader(io.LimitReader(response.Body, limit))
	if begin, _ := body.Peek(512); got.size == 0 && isPage(path, begin) { // an error comes again when it is read
		return errPage
	}
	_, err = io.Copy(got, body)
	return err
}

// received is what has come of a file.
type received struct {
	file  *atomicfile.File
	known fileCheck
	size  int64     // bytes so far
	hash  hash.Hash // of them; nil where none is known to compare with
}

// restart forgets what has come; length is what the server announces, -1 when it does not.
func (r *received) restart(length int64) {
	r.size = 0
	if r.known.size > 0 {
		length = r.known.size
	}
	r.hash = r.known.start(length)
}

// Write implements io.Writer.
func (r *received) Write(p []byte) (int, error) {
	n, err := r.file.WriteAt(p, r.size)
	r.size += int64(n)
	if r.hash != nil {
		r.hash.Write(p[:n])
	}
	if err != nil {
		return n, err
	}
	return n, nil
}
