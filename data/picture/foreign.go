package picture

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A ForeignError reports a picture in a format that this package does not decode because no decoder at hand gives the pixels
// that Pillow gives: those of libavif through WebAssembly, for one, differ by up to 34 steps where chroma is subsampled.
type ForeignError struct {
	Format string // "AVIF", "HEIC", ...
}

func (e *ForeignError) Error() string {
	article := "a"
	if strings.HasPrefix(e.Format, "A") {
		article = "an"
	}
	return fmt.Sprintf("this is %s %s: convert it with \"magick FILE FILE.png\", or with Pillow: Image.open(FILE).save(FILE.png)", article, e.Format)
}

// foreign names the format of a picture that is known but not decoded, "" for anything else.
func foreign(data []byte) string {
	for begin, name := range map[string]string{
		"\xff\x0a": "JPEG XL", "\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL", "\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
		"8BPS": "Photoshop document", "%PDF-": "PDF document", "#?RADIANCE": "Radiance picture", "II+\x00": "BigTIFF",
	} {
		if bytes.HasPrefix(data, []byte(begin)) {
			return name
		}
	}
	// The ISO base media format names itself, then brands that a reader may go by.
	if len(data) < 16 || string(data[4:8]) != "ftyp" {
		return ""
	}
	brand := func(names ...string) bool { return slices.Contains(names, string(data[8:12])) }
	switch {
	case brand("avif", "avis"):
		return "AVIF"
	case brand("heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"):
		if bytes.Contains(data[16:min(len(data), 64)], []byte("avif")) {
			return "AVIF"
		}
		return "HEIC"
	}
	return ""
}
