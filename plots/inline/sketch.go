package inline

import (
	"bytes"
	"fmt"
	"image/color"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/plots"
)

// sketch is what a picture of a control shows where no browser can move it.
type sketch struct {
	name, value string
	slider      bool
	at, of      int // the handle's position among that many
}

func (c *Choice[T]) sketch() sketch {
	at := int(c.taken.Load())
	return sketch{name: c.name, value: c.texts()[at], slider: c.slider, at: at, of: len(c.values)}
}

// The measures of a picture of controls.
const (
	sketchWidth  = vg.Length(330)
	sketchHeight = vg.Length(26) // of one control
	sketchName   = vg.Length(120)
	sketchSize   = vg.Length(9) // of letters
)

// unmoved is what to do to move controls.
const unmoved = "This is a picture of the controls. Run the cell in JupyterLab to move them; what is below follows."

// sketched are controls, one below the other.
type sketched []sketch

// Draw implements plots.Drawer.
func (all sketched) Draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	style := draw.TextStyle{Color: color.Gray{Y: 40}, Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, sketchSize),
		XAlign: draw.XRight, Handler: text.Plain{Fonts: font.DefaultCache}}
	grey, blue := color.Gray{Y: 170}, color.RGBA{R: 25, G: 118, B: 210, A: 255}
	for i, s := range all {
		y := c.Max.Y - vg.Length(i+1)*sketchHeight + 8
		left, right := c.Min.X+sketchName, c.Max.X-30
		c.FillText(style, vg.Point{X: left - 10, Y: y - 3}, s.name)
		if !s.slider {
			value := style
			value.XAlign = draw.XLeft
			c.FillText(value, vg.Point{X: left + 4, Y: y - 3}, s.value)
			c.StrokeLines(draw.LineStyle{Color: grey, Width: 0.8}, []vg.Point{{X: left, Y: y - 7}, {X: right, Y: y - 7}, {X: right, Y: y + 9}, {X: left, Y: y + 9}, {X: left, Y: y - 7}})
			arrow := []vg.Point{{X: right - 11, Y: y + 2.5}, {X: right - 5, Y: y + 2.5}, {X: right - 8, Y: y - 2}}
			c.FillPolygon(style.Color, arrow)
			continue
		}
		handle := left
		if s.of > 1 {
			handle += (right - left) * vg.Length(s.at) / vg.Length(s.of-1)
		}
		c.StrokeLine2(draw.LineStyle{Color: grey, Width: 3}, left, y, right, y)
		c.StrokeLine2(draw.LineStyle{Color: blue, Width: 3}, left, y, handle, y)
		c.DrawGlyph(draw.GlyphStyle{Color: blue, Radius: 4.5, Shape: draw.CircleGlyph{}}, vg.Point{X: handle, Y: y})
		value := style
		value.XAlign = draw.XCenter
		c.FillText(value, vg.Point{X: handle, Y: y + 7}, s.value)
	}
}

// sketches adds a picture of controls, and what to do to move them.
func (f *Frame) sketches(controls []Control) error {
	var all sketched
	for _, c := range controls {
		all = append(all, c.sketch())
	}
	if len(all) == 0 {
		return nil
	}
	var picture bytes.Buffer
	if err := plots.PNG(all, sketchWidth, vg.Length(len(all))*sketchHeight+4, resolution, &picture); err != nil {
		return fmt.Errorf("controls: %w", err)
	}
	if err := f.picture(picture.Bytes(), "picture of controls"); err != nil {
		return err
	}
	f.Printf("%s", unmoved)
	return nil
}
