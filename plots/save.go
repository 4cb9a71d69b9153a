package plots

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"

	"vitdecompose/data/atomicfile"
)

// PNGResolution is the resolution of saved PNG pictures, in pixels per inch.
const PNGResolution = 300

// Drawer is what can be saved: a [Figure], a [Sheet], a *plot.Plot.
type Drawer interface {
	// Draw draws on all of the canvas.
	Draw(c draw.Canvas)
}

// Endings are those of the files that [Save] writes of a figure or a sheet, for messages.
const Endings = "{png,svg,pdf,txt,tex}"

// Save writes the drawing, w wide and h high, as basePath.png, basePath.svg and basePath.pdf (fonts embedded), and the
// caption of a figure or a sheet as plain text and as LaTeX's \caption, basePath.txt and basePath.tex. The directory must
// exist. Each file is there in full or, when an error is returned, as it was. The same drawing gives the same bytes.
func Save(d Drawer, basePath string, w, h vg.Length) error {
	for _, format := range []struct {
		extension string
		render    func(Drawer, vg.Length, vg.Length, io.Writer) error
	}{
		{".png", renderPNG},
		{".svg", renderSVG},
		{".pdf", renderPDF},
	} {
		path := basePath + format.extension
		err := atomicfile.Write(path, func(out io.Writer) error { return format.render(d, w, h, out) })
		if err != nil {
			return fmt.Errorf("figure: %w", err)
		}
	}
	explained, ok := d.(captioned)
	if !ok {
		return nil
	}
	for extension, render := range map[string]func(Caption, io.Writer) error{".txt": renderText, ".tex": renderLaTeX} {
		err := atomicfile.Write(basePath+extension, func(out io.Writer) error { return render(explained.Caption(), out) })
		if err != nil {
			return fmt.Errorf("figure: %w", err)
		}
	}
	return nil
}

func renderPNG(d Drawer, w, h vg.Length, out io.Writer) error {
	return PNG(d, w, h, PNGResolution, out)
}

// encoder takes half the time of png.Encode, and the files of figures are an eighth larger.
var encoder = png.Encoder{CompressionLevel: png.BestSpeed}

// PNG writes the drawing, w wide and h high, as a PNG picture with the given number of pixels per inch.
func PNG(d Drawer, w, h vg.Length, resolution int, out io.Writer) error {
	canvas := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(resolution))
	d.Draw(draw.New(lettered{canvas}))
	var encoded bytes.Buffer
	if err := encoder.Encode(&encoded, canvas.Image()); err != nil {
		return err
	}
	// image/png does not say how large a pixel is: put the chunk that does (pHYs) after the first, IHDR, which ends
	// at byte 33 in every PNG file.
	const header = 33
	chunk := binary.BigEndian.AppendUint32(nil, 9) // length of what follows the name
	chunk = append(chunk, "pHYs"...)
	perMetre := uint32(math.Round(float64(resolution) / 0.0254))
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre)
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre)
	chunk = append(chunk, 1) // the unit is the metre
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	for _, part := range [][]byte{encoded.Bytes()[:header], chunk, encoded.Bytes()[header:]} {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// fpdf takes the defaults of new documents from package variables.
var pdfDefaults = sync.OnceFunc(func() {
	// Not now: the same drawing gives the same bytes.
	fpdf.SetDefaultCreationDate(time.Unix(0, 0).UTC())
	fpdf.SetDefaultModificationDate(time.Unix(0, 0).UTC())
	fpdf.SetDefaultCatalogSort(true)
})

func renderPDF(d Drawer, w, h vg.Length, out io.Writer) error {
	pdfDefaults()
	canvas := vgpdf.New(w, h)
	canvas.EmbedFonts(true)
	d.Draw(draw.New(pdfCanvas{canvas}))
	var pdf bytes.Buffer
	if _, err := canvas.WriteTo(&pdf); err != nil {
		return err
	}
	ordered, err := orderPictures(pdf.Bytes())
	if err != nil {
		return err
	}
	_, err = out.Write(ordered)
	return err
}

// pdfCanvas writes text in Windows 1252, and draws the outlines of letters that this encoding does not have. All text has the
// same typeface and weight: of several, vgpdf embeds one.
type pdfCanvas struct{ *vgpdf.Canvas }

func (c pdfCanvas) FillString(face font.Face, at vg.Point, text string) {
	for text = written(text); text != ""; {
		run, encoded := western(text)
		if run == "" {
			run = strange(text)
			c.Fill(outlines(face.Font.Size, at, run))
		} else {
			c.Canvas.FillString(face, at, encoded)
		}
		at.X += face.Width(run)
		text = text[len(run):]
	}
}

// SetColor sets the colour. vgpdf would darken one that others show through.
func (c pdfCanvas) SetColor(colour color.Color) {
	if colour != nil {
		colour = straight(color.NRGBAModel.Convert(colour).(color.NRGBA))
	}
	c.Canvas.SetColor(colour)
}

// straight is a colour whose channels are given to vgpdf without what alpha takes from them.
type straight color.NRGBA

// RGBA implements color.Color, but for the alpha.
func (s straight) RGBA() (r, g, b, a uint32) {
	opaque := color.NRGBA{s.R, s.G, s.B, 0xff}
	r, g, b, _ = opaque.RGBA()
	return r, g, b, 0x101 * uint32(s.A)
}

// DrawImage draws a picture upright. vgpdf has its axis upwards, but draws pictures downwards.
func (c pdfCanvas) DrawImage(box vg.Rectangle, picture image.Image) {
	c.Push()
	defer c.Pop()
	c.Translate(vg.Point{Y: box.Min.Y + box.Max.Y})
	c.Scale(1, -1)
	c.Canvas.DrawImage(box, picture)
}
