package inline

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
	xdraw "golang.org/x/image/draw"
	"gonum.org/v1/plot/vg"

	"vitdecompose/experiments"
	"vitdecompose/experiments/results"
	"vitdecompose/plots"
)

// Widths for [Export]: a column of a two-column page, and the whole page between its margins.
const (
	Column = plots.ColumnWidth
	Page   = plots.PageWidth
)

// resolution is that of figures in notebooks, in pixels per inch: enough for a screen, and a notebook stays small.
const resolution = 150

// A picture that is larger as PNG, one of photographs or scenes, is kept as JPEG: a notebook with many stays small.
const (
	largestPNG  = 150_000 // bytes
	jpegQuality = 90
)

// part is one thing that a cell shows.
type part struct {
	picture []byte // a PNG or JPEG file, or
	kind    protocol.MIMEType
	html    string // anything else, and
	text    string // what stands for either outside a notebook
}

// pictured is a part that shows a picture, encoded as PNG.
func pictured(encoded []byte, text string) (part, error) {
	if len(encoded) <= largestPNG {
		return part{picture: encoded, kind: protocol.MIMEImagePNG, text: text}, nil
	}
	pixels, err := png.Decode(bytes.NewReader(encoded))
	if err != nil {
		return part{}, err
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, pixels, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return part{}, err
	}
	return part{picture: out.Bytes(), kind: "image/jpeg", text: text}, nil
}

// display shows the part for good.
func (p part) display(out io.Writer) {
	switch {
	case !gonbui.IsNotebook:
		fmt.Fprintln(out, p.text)
	case p.picture != nil:
		gonbui.SendData(&protocol.DisplayData{Data: map[protocol.MIMEType]any{p.kind: p.picture}})
	default:
		gonbui.DisplayHTML(p.html)
	}
}

// inPage is the part within a page of HTML.
func (p part) inPage() string {
	if p.picture == nil {
		return p.html
	}
	return fmt.Sprintf(`<div><img alt="%s" src="data:%s;base64,%s"></div>`, html.EscapeString(p.text), p.kind,
		base64.StdEncoding.EncodeToString(p.picture))
}

// Show shows figures and sheets with their captions, one below the other.
func Show(figures ...plots.Sized) {
	for _, figure := range figures {
		Check(show(func(f *Frame) error { return f.Show(figure) }))
	}
}

// Table shows a table.
func Table(table results.Table) {
	Check(show(func(f *Frame) error { f.Table(table); return nil }))
}

// Image shows a picture, small ones enlarged.
func Image(picture image.Image) {
	Check(show(func(f *Frame) error { return f.Image(picture) }))
}

// Published shows the numbers that the paper reports of an experiment, as `vitdecompose run` calls it, and where they are
// published.
func Published(experiment string) {
	table, ok := experiments.Published(experiment)
	if !ok {
		Check(fmt.Errorf("there are no published numbers for %s", experiment))
	}
	Check(show(func(f *Frame) error {
		f.Printf("%s: %s", table.Source, table.Data)
		f.Table(publishedTable(table))
		return nil
	}))
}

// publishedTable writes the numbers as the paper prints them.
func publishedTable(t experiments.PublishedTable) results.Table {
	out := results.Table{Header: append([]string{"model", "method"}, t.Measures...)}
	methods := false
	for _, row := range t.Rows {
		cells := []string{row.Model, row.Method}
		methods = methods || row.Method != ""
		for _, v := range row.Values {
			cells = append(cells, strconv.FormatFloat(v, 'f', t.Decimals, 64))
		}
		out.Rows = append(out.Rows, cells)
	}
	if !methods { // the column would be empty
		out.Header = append(out.Header[:1], out.Header[2:]...)
		for i, row := range out.Rows {
			out.Rows[i] = append(row[:1], row[2:]...)
		}
	}
	return out
}

// show fills a frame and shows it for good.
func show(fill func(*Frame) error) error {
	var f Frame
	if err := fill(&f); err != nil {
		return err
	}
	f.display()
	return nil
}

// Frame collects what a cell shows.
type Frame struct{ parts []part }

func (f *Frame) display() {
	for _, p := range f.parts {
		p.display(os.Stdout)
	}
	gonbui.Sync() // without it the last part may be lost with the process
}

// inPage is the frame as HTML.
func (f *Frame) inPage() string {
	var out strings.Builder
	for _, p := range f.parts {
		out.WriteString(p.inPage())
	}
	return out.String()
}

// Printf adds a line of text.
func (f *Frame) Printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f.parts = append(f.parts, part{html: "<p>" + html.EscapeString(text) + "</p>", text: text})
}

// Show adds a figure or a sheet, and its caption under it.
func (f *Frame) Show(figure plots.Sized) error {
	w, h := figure.Size()
	var picture bytes.Buffer
	if err := plots.PNG(figure, w, h, resolution, &picture); err != nil {
		return fmt.Errorf("figure: %w", err)
	}
	if err := f.picture(picture.Bytes(), fmt.Sprintf("figure of %.2f x %.2f inches", w/vg.Inch, h/vg.Inch)); err != nil {
		return err
	}
	if caption := figure.Caption().String(); caption != "" {
		f.parts = append(f.parts, part{html: fmt.Sprintf(`<p style="max-width:%dem;font-size:0.9em">%s</p>`, captionWidth, html.EscapeString(caption)), text: caption})
	}
	return nil
}

// captionWidth is the width of a caption, in the size of a letter: about that of a figure.
const captionWidth = 62

// enlargedBelow is the width below which a picture is enlarged.
const enlargedBelow = 256

// Image adds a picture. A small one is enlarged by a whole number, each pixel a square.
func (f *Frame) Image(picture image.Image) error {
	size := picture.Bounds().Size()
	if size.X < 1 || size.Y < 1 {
		return fmt.Errorf("picture of %d x %d pixels", size.X, size.Y)
	}
	large := image.NewRGBA(image.Rectangle{Max: size.Mul(max(1, enlargedBelow/size.X))})
	xdraw.NearestNeighbor.Scale(large, large.Bounds(), picture, picture.Bounds(), xdraw.Src, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, large); err != nil {
		return err
	}
	return f.picture(out.Bytes(), fmt.Sprintf("picture of %d x %d pixels", size.X, size.Y))
}

func (f *Frame) picture(encoded []byte, text string) error {
	p, err := pictured(encoded, text)
	if err == nil {
		f.parts = append(f.parts, p)
	}
	return err
}

// Table adds a table, numbers on the right of their columns.
func (f *Frame) Table(table results.Table) {
	numbers := plots.NumberColumns(table)
	var out strings.Builder
	row := func(tag string, cells []string) {
		out.WriteString("<tr>")
		for i, cell := range cells {
			align := "left"
			if i < len(numbers) && numbers[i] {
				align = "right"
			}
			fmt.Fprintf(&out, `<%s style="text-align:%s">%s</%s>`, tag, align, html.EscapeString(cell), tag)
		}
		out.WriteString("</tr>\n")
	}
	out.WriteString("<table>\n")
	row("th", table.Header)
	for _, cells := range table.Rows {
		row("td", cells)
	}
	out.WriteString("</table>")
	f.parts = append(f.parts, part{html: out.String(), text: plots.Markdown(table)})
}

// Export writes what a cell shows as path.pdf, path.svg and path.png, [Column] or [Page] wide and with fonts embedded, and its
// caption as path.txt and path.tex, and says so. It makes the directory.
func Export(figure plots.Sized, path string, width vg.Length) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("figure: %w", err)
	}
	if err := plots.SaveAt(figure, path, width); err != nil {
		return err
	}
	fmt.Printf("wrote %s.%s\n", path, plots.Endings)
	return nil
}
