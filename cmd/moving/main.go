// Moving draws the README's moving picture: over a drawn scene what one attention head after the other adds to the logit of
// the class that deit-mini chooses, in its last two blocks, beside the sum of the heads so far.
//
//	go run ./cmd/moving --out docs/figures/heads.gif
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot/vg"

	"vitdecompose/data/atomicfile"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// How the picture moves: in hundredths of a second.
const (
	frameDelay = 90
	lastDelay  = 300
)

// width is that of the picture: at the 300 pixels an inch of figures it is 1000 pixels, halved below.
const width = 85 * vg.Millimeter

func main() {
	out := flag.String("out", filepath.Join("docs", "figures", "heads.gif"), "file to write")
	scene := flag.Int("scene", 4, "which of the drawn scenes")
	flag.Parse()
	if err := draw(context.Background(), *scene, *out); err != nil {
		fmt.Fprintln(os.Stderr, "moving:", err)
		os.Exit(1)
	}
}

// draw writes the moving picture of a scene.
func draw(ctx context.Context, scene int, out string) error {
	s, err := session.Open(ctx, session.Options{Model: "deit-mini", Data: fmt.Sprintf("scenes:%d", scene+1), Blocks: "4.."})
	if err != nil {
		return err
	}
	defer s.Close()
	result, err := experiments.ClassHeatmaps(ctx, s, experiments.ClassHeatmapConfig{Pictures: []int{scene}, Each: true})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vitdecompose-moving-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var frames []image.Image
	for _, panels := range steps(result.Pictures[0].Panels) {
		one := result
		one.Pictures = slices.Clone(result.Pictures)
		one.Pictures[0].Panels = panels
		figure, err := plots.Heatmaps(one, s.View(), plots.HeatmapOptions{})
		if err != nil {
			return err
		}
		base := filepath.Join(dir, "frame")
		if err := plots.SaveAt(figure, base, width); err != nil {
			return err
		}
		frame, err := read(base + ".png")
		if err != nil {
			return err
		}
		frames = append(frames, frame)
	}
	return atomicfile.Write(out, func(w io.Writer) error { return gif.EncodeAll(w, animated(frames)) })
}

// steps are the panels of each frame: a head, and the sum of the heads up to it, all in the colours of the whole sum.
func steps(panels []experiments.HeatmapPanel) [][]experiments.HeatmapPanel {
	whole, heads := panels[0], panels[1:]
	sum := whole
	sum.Components, sum.Values, sum.Others = nil, make([]float32, len(whole.Values)), 0
	var all [][]experiments.HeatmapPanel
	limit := 0.0
	for _, head := range heads {
		sum.Components = append(slices.Clone(sum.Components), head.Components...)
		sum.Values = slices.Clone(sum.Values)
		for i, v := range head.Values {
			sum.Values[i] += v
			limit = max(limit, math.Abs(float64(sum.Values[i])), math.Abs(float64(v)))
		}
		sum.Others += head.Others
		all = append(all, []experiments.HeatmapPanel{head, sum})
	}
	for _, panels := range all {
		for i := range panels {
			panels[i].Limit = limit
		}
	}
	return all
}

func read(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return png.Decode(f)
}

// animated halves the frames and gives all of them the colours that are most frequent in them.
func animated(frames []image.Image) *gif.GIF {
	var size image.Point // captions grow, and with them the frames
	for _, frame := range frames {
		half := frame.Bounds().Size().Div(2)
		size = image.Pt(max(size.X, half.X), max(size.Y, half.Y))
	}
	halves := make([]*image.RGBA, len(frames))
	counts := make(map[color.RGBA]int)
	for i, frame := range frames {
		halves[i] = image.NewRGBA(image.Rectangle{Max: size})
		for y := range size.Y {
			for x := range size.X {
				c := mean(frame, x, y)
				halves[i].SetRGBA(x, y, c)
				counts[c]++
			}
		}
	}
	var colours []color.RGBA
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(number(a), number(b)))
	})
	var palette color.Palette
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	moving := &gif.GIF{Config: image.Config{ColorModel: palette, Width: size.X, Height: size.Y}}
	nearest := make(map[color.RGBA]uint8)
	for i, half := range halves {
		frame := image.NewPaletted(half.Bounds(), palette)
		for y := range size.Y {
			for x := range size.X {
				c := half.RGBAAt(x, y)
				index, known := nearest[c]
				if !known {
					index = uint8(palette.Index(c))
					nearest[c] = index
				}
				frame.SetColorIndex(x, y, index)
			}
		}
		delay := frameDelay
		if i == len(halves)-1 {
			delay = lastDelay
		}
		moving.Image, moving.Delay = append(moving.Image, frame), append(moving.Delay, delay)
	}
	return moving
}

// mean is the colour of four pixels, in steps of 8 so that few colours serve all frames.
func mean(frame image.Image, x, y int) color.RGBA {
	var sum [3]uint32
	for _, at := range []image.Point{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		var r, g, b uint32 = 0xffff, 0xffff, 0xffff // below a frame is paper
		if p := image.Pt(2*x, 2*y).Add(at); p.In(frame.Bounds()) {
			r, g, b, _ = frame.At(p.X, p.Y).RGBA()
		}
		sum[0], sum[1], sum[2] = sum[0]+r>>8, sum[1]+g>>8, sum[2]+b>>8
	}
	step := func(v uint32) uint8 { return uint8(min(255, (v/4+4)&^7)) }
	return color.RGBA{step(sum[0]), step(sum[1]), step(sum[2]), 255}
}

func number(c color.RGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }
