package plots_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"image"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

// shades is an album of squares of grey, picture i of shade i.
type shades struct{}

func (shades) Image(i int) (image.Image, error) {
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	for k := range picture.Pix {
		picture.Pix[k] = uint8(i)
	}
	return picture, nil
}

// In SVG and PDF too, the pictures are where they should be, of their type, and upright. Some of them come twice.
func TestPicturesInVectorFormats(t *testing.T) {
	shown := []uint8{200, 17, 90, 17, 3, 55, 200, 120, 121, 122, 123}
	var probes []experiments.TextProbe
	for some := range slices.Chunk(shown, 3) {
		var found []experiments.Match
		for _, i := range some {
			found = append(found, experiments.Match{Picture: int(i)})
		}
		probes = append(probes, experiments.TextProbe{Text: "grey", Found: [][]experiments.Match{found}})
	}
	figure, err := plots.TextRetrieval(experiments.ModelTextRetrieval{Model: "m", Features: []experiments.FeatureRetrieval{{
		Feature: "color", Groups: groupsOfThree[:1], Probes: probes,
	}}}, shades{}, plots.TextRetrievalOptions{Probes: len(probes)})
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "sheet")
	if err := plots.Save(figure, base, figure.Width, figure.Height); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(base + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(svg, []byte(`xlink:href="data:image/png;base64,iVBOR`)); got != len(shown) {
		t.Errorf("SVG holds %d pictures, want %d", got, len(shown))
	}
	pdf, err := os.ReadFile(base + ".pdf")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := bytes.Count(pdf, []byte("/Subtype /Image")), len(shown)-2; got != want {
		t.Errorf("PDF holds %d pictures, want %d", got, want)
	}
	var drawn []uint8
	for _, picture := range pdfPictures(t, pdf) {
		drawn = append(drawn, picture.shade)
		if picture.height < 20 { // negative if upside down
			t.Errorf("PDF draws picture of shade %d %v points high, its axis upwards", picture.shade, picture.height)
		}
	}
	if !slices.Equal(drawn, shown) {
		t.Errorf("PDF draws pictures of shades %v, want %v", drawn, shown)
	}
}

// A PDF has the full colour of what others show through, and says how far they do.
func TestFaintInPDF(t *testing.T) {
	base := filepath.Join(t.TempDir(), "figure")
	if err := plots.Save(faint{}, base, vg.Inch, vg.Inch); err != nil {
		t.Fatal(err)
	}
	pdf, err := os.ReadFile(base + ".pdf")
	if err != nil {
		t.Fatal(err)
	}
	number, _ := strconv.Atoi(string(regexp.MustCompile(`/Contents (\d+) 0 R`).FindSubmatch(pdf)[1]))
	if content := inflated(t, pdf, number); !bytes.Contains(content, []byte("1.000 0.400 0.000 rg")) {
		t.Errorf("PDF does not set the colour: %s", content)
	}
	if !bytes.Contains(pdf, []byte("/ca 0.2")) {
		t.Error("PDF does not set the alpha")
	}
}

// faint draws a square that what is behind it shows through.
type faint struct{}

func (faint) Draw(c draw.Canvas) {
	c.SetColor(color.NRGBA{0xff, 0x66, 0, 0x33})
	c.Fill(c.Rectangle.Path())
}

type pdfPicture struct {
	shade  uint8
	height float64 // upwards
}

var pdfContent = regexp.MustCompile(`(?s)^.*?stream\n(.*?)\nendstream`)

// inflated returns what is in the stream of an object of a PDF.
func inflated(t *testing.T, pdf []byte, number int) []byte {
	t.Helper()
	table := pdf[bytes.LastIndex(pdf, []byte("\nxref\n")):]
	start := regexp.MustCompile(`startxref\n(\d+)\n`).FindSubmatch(table)
	if want := strconv.Itoa(len(pdf) - len(table) + 1); start == nil || string(start[1]) != want {
		t.Fatalf("the table of objects is not where the PDF says: %q, want %s", start, want)
	}
	line := bytes.Split(table, []byte("\n"))[3+number]
	offset, err := strconv.Atoi(string(line[:10]))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(pdf[offset:], fmt.Appendf(nil, "%d 0 obj\n", number)) {
		t.Fatalf("object %d is not at %d", number, offset)
	}
	reader, err := zlib.NewReader(bytes.NewReader(pdfContent.FindSubmatch(pdf[offset:])[1]))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// pdfPictures returns the pictures that a PDF draws, in order.
func pdfPictures(t *testing.T, pdf []byte) []pdfPicture {
	t.Helper()
	shades := make(map[string]uint8) // by name
	for _, named := range regexp.MustCompile(`\n(/I[0-9a-f]{40}) (\d+) 0 R`).FindAllSubmatch(pdf, -1) {
		number, _ := strconv.Atoi(string(named[2]))
		if _, ok := shades[string(named[1])]; ok {
			t.Errorf("the name %s comes twice", named[1])
		}
		shades[string(named[1])] = inflated(t, pdf, number)[1] // behind the row's filter, which leaves the first pixel
	}

	contents := regexp.MustCompile(`/Contents (\d+) 0 R`).FindSubmatch(pdf)
	number, _ := strconv.Atoi(string(contents[1]))
	var pictures []pdfPicture
	var words []string
	scale, stack := 1.0, []float64(nil)
	for word := range strings.FieldsSeq(string(inflated(t, pdf, number))) {
		words = append(words, word)
		switch word {
		case "q":
			stack = append(stack, scale)
		case "Q":
			scale, stack = stack[len(stack)-1], stack[:len(stack)-1]
		case "cm": // a b c d e f cm
			if d := words[len(words)-4]; words[len(words)-6] == "0" || !strings.ContainsAny(words[len(words)-6], "123456789") {
				factor, err := strconv.ParseFloat(d, 64)
				if err != nil {
					t.Fatal(err)
				}
				scale *= factor
			} // else it turns text
		case "Do":
			pictures = append(pictures, pdfPicture{shades[words[len(words)-2]], scale})
		}
	}
	return pictures
}
