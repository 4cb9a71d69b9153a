package picture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// Default limits, used where a field of [Limits] is zero. The number of pixels is the one beyond which Pillow refuses a
// picture: half a gigabyte at three bytes a pixel. Formats that take more memory for a pixel while they are decoded may have
// fewer.
const (
	DefaultMaxPixels = 178_956_970
	DefaultMaxBytes  = 512 << 20
)

// Limits bounds the resources that a file may take.
type Limits struct {
	// MaxPixels is the largest width times height; 0 means DefaultMaxPixels.
	MaxPixels int64
	// MaxBytes is the largest size of the encoded file; 0 means DefaultMaxBytes.
	MaxBytes int64
}

func (l Limits) maxPixels() int64 {
	if l.MaxPixels > 0 {
		return l.MaxPixels
	}
	return DefaultMaxPixels
}

func (l Limits) maxBytes() int64 {
	if l.MaxBytes > 0 {
		return l.MaxBytes
	}
	return DefaultMaxBytes
}

// check refuses a size that is empty or beyond the limit. It comes before anything of that size is allocated.
func (l Limits) check(format string, width, height int) error {
	if width <= 0 || height <= 0 {
		return &FormatError{format, fmt.Sprintf("its header says %dx%d pixels", width, height)}
	}
	if int64(width) > l.maxPixels()/int64(height) {
		return &LimitError{Width: width, Height: height, MaxPixels: l.maxPixels()}
	}
	return nil
}

// A FormatError reports a file that is damaged, cut short or no picture at all.
type FormatError struct {
	Format string // "JPEG", "PNG", ...; empty when unknown
	Reason string
}

func (e *FormatError) Error() string {
	if e.Format == "" {
		return "not a picture: " + e.Reason
	}
	return "damaged " + e.Format + " file: " + e.Reason
}

// An UnsupportedError reports a valid file that uses a feature this package does not decode.
type UnsupportedError struct {
	Format  string
	Feature string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unsupported %s feature: %s (save the picture as PNG to use it)", e.Format, e.Feature)
}

// A LimitError reports a picture with more pixels than [Limits] allows; nothing of it was decoded.
type LimitError struct {
	Width, Height int
	MaxPixels     int64
	// Format is set where the limit is that of the memory for files of this kind.
	Format string
}

func (e *LimitError) Error() string {
	kind := ""
	if e.Format != "" {
		kind = " for a " + e.Format + " file of this kind"
	}
	return fmt.Sprintf("picture of %dx%d = %d pixels is larger than the limit of %d pixels%s: scale it down first",
		e.Width, e.Height, int64(e.Width)*int64(e.Height), e.MaxPixels, kind)
}

// formats are recognised by how a file begins, never by its name: photo collections hold PNG files named .jpg.
var formats = []struct {
	name   string
	match  func(data []byte) bool
	decode func(data []byte, l Limits) (*Picture, error)
}{
	{"JPEG", func(d []byte) bool { return bytes.HasPrefix(d, []byte("\xff\xd8\xff")) }, decodeJPEG},
	{"PNG", func(d []byte) bool { return bytes.HasPrefix(d, []byte(pngSignature)) }, decodePNG},
	{"WebP", func(d []byte) bool { return len(d) >= 12 && string(d[:4]) == "RIFF" && string(d[8:12]) == "WEBP" }, decodeWebP},
	{"GIF", func(d []byte) bool {
		return bytes.HasPrefix(d, []byte("GIF87a")) || bytes.HasPrefix(d, []byte("GIF89a"))
	}, decodeGIF},
	{"BMP", func(d []byte) bool { return bytes.HasPrefix(d, []byte("BM")) }, decodeBMP},
	{"TIFF", func(d []byte) bool {
		return bytes.HasPrefix(d, []byte("II*\x00")) || bytes.HasPrefix(d, []byte("MM\x00*"))
	}, decodeTIFF},
}

// Decode reads one JPEG, PNG, WebP, GIF, BMP or TIFF picture from r; a file with several pictures gives the first. The error is
// a [*FormatError], [*UnsupportedError], [*ForeignError] or [*LimitError], or what r returned. Large pictures wait for each
// other: see [Hold].
func Decode(r io.Reader, limits Limits) (*Picture, error) {
	data, err := io.ReadAll(io.LimitReader(r, limits.maxBytes()+1))
	if err != nil {
		return nil, err
	}
	return decodeBytes(data, limits)
}

// DecodeFile is [Decode] for a file. Errors begin with the path.
func DecodeFile(path string, limits Limits) (*Picture, error) {
	data, err := readFile(path, limits)
	if err != nil {
		return nil, err
	}
	p, err := decodeBytes(data, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p.Name = path
	return p, nil
}

func readFile(path string, limits Limits) ([]byte, error) {
	info, err := regular(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limits.maxBytes() {
		return nil, fmt.Errorf("%s: %w", path, tooManyBytes(limits))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fileFirst(path, err)
	}
	return data, nil
}

// regular refuses what may block for ever (a pipe) or has no end (a device).
func regular(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileFirst(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return info, nil
}

// fileFirst makes an error of package os begin with the file, which is what the user needs first, and not the operation.
func fileFirst(path string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func tooManyBytes(limits Limits) error {
	return fmt.Errorf("file is larger than the limit of %d bytes", limits.maxBytes())
}

func decodeBytes(data []byte, limits Limits) (p *Picture, err error) {
	if int64(len(data)) > limits.maxBytes() {
		return nil, tooManyBytes(limits)
	}
	if len(data) == 0 {
		return nil, &FormatError{"", "the file is empty"}
	}
	for _, f := range formats {
		if !f.match(data) {
			continue
		}
		// The decoders underneath are not all hardened against hostile bytes; one that indexes out of range must
		// not take down a run over a million files.
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(runtime.Error); !ok {
					panic(r)
				}
				p, err = nil, &FormatError{f.name, fmt.Sprint(r)}
			}
		}()
		return f.decode(data, limits)
	}
	if name := foreign(data); name != "" {
		return nil, &ForeignError{name}
	}
	return nil, &FormatError{"", "it does not begin like a JPEG, PNG, WebP, GIF, BMP or TIFF file"}
}

// cause turns an error of the decoder underneath into one of this package's, so that messages read alike.
func cause(format string, err error, unsupported bool) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return truncated(format)
	}
	// Go's decoders put before each message what this package's errors say themselves.
	text := err.Error()
	for _, begin := range []string{"unsupported feature: ", "invalid format: "} {
		if _, rest, ok := strings.Cut(text, begin); ok {
			text = rest
		}
	}
	if unsupported {
		return &UnsupportedError{format, text}
	}
	return &FormatError{format, text}
}

func truncated(format string) error {
	return &FormatError{format, "it ends before the picture is complete (truncated?)"}
}
