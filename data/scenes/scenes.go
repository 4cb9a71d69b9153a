// Package scenes is a drawn world: pictures of 64 x 64 pixels that code draws
// from a seed, with the truth about each of them. It trains and tests the small
// models of the project on any machine, without a download.
//
// A scene is one object in front of one place. Twelve classes of objects (birds
// and other animals, vehicles, a fruit, a thing), six colours, five patterns,
// ten places, size, pose and the shape of the individual vary independently of
// one another, and clutter of the same colours lies about: neither the colours
// nor the background nor any one pixel tell the class, only the object's form.
//
//	scene := scenes.Draw(7, 0)
//	fmt.Println(scene.Caption)   // "a drawing of a white finch with bamboo leaves behind it"
//	scene.Picture()              // *picture.Picture, 64 x 64 RGB
//	scene.Mask                   // which pixels are the finch
//
// A scene is a function of a seed and an index alone, drawn in integers, and has
// the same bytes on every 64-bit platform. Seeds below [TrainSeeds] are for looking and testing, those
// from there on for training: they never give the same picture.
//
// As a data set it is opened by [data.Open] with "scenes:N" or "scenes:N:SEED", or
// with "scenes:N:SEED:background" and "scenes:N:SEED:silhouette" for a [Part] of
// each scene.
package scenes

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

// Size is the width and height of a scene in pixels.
const Size = 64

// Version changes whenever a scene's pixels, mask or spec change.
const Version = 1

// TrainSeeds is the first of the seeds that are kept for training.
const TrainSeeds uint64 = 1 << 32

// What scenes are made of. The order of Classes is that of the labels.
var (
	Classes = []string{"finch", "hummingbird", "swan", "pelican", "cat", "camel", "elephant", "giraffe",
		"car", "truck", "banana", "sign"}
	Colours  = []string{"blue", "green", "red", "yellow", "black", "white"}
	Patterns = []string{"plain", "striped", "spotted", "polka dot", "checkered"}
	Places   = []string{"ocean", "lake", "sky", "beach", "forest", "bamboo", "meadow", "desert", "snow", "city"}
	// Shapes are those of the class "sign".
	Shapes = []string{"triangular", "rectangular", "circular", "octagonal"}
)

// Spec says what a scene shows. The words are those of the lists above.
type Spec struct {
	Class   int // index into Classes
	Colour  string
	Pattern string
	Place   string
	Shape   string // of a sign; "" for other classes
	Mirror  bool   // facing left
	Scale   int    // 1/256 pixels per half object, about
	Stretch int    // width in percent of the usual
	Angle   int    // clockwise, 1024ths of a turn
	X, Y    int    // centre of the object, 1/256 pixels
}

// Scene is a drawn scene and the truth about it.
type Scene struct {
	Spec
	Caption string
	Pix     []uint8 // [64 * 64 * 3], RGB, row by row
	Mask    []uint8 // [64 * 64], how much of each pixel is object, 0..255
}

// The parts of a scene that draw randomness of their own.
const (
	partSpec = iota
	partPlace
	partObject
	partLight
	partCaption
	partBird
)

// Sample chooses what the scene (seed, index) shows, everything independent of
// everything else.
func Sample(seed, index uint64) Spec {
	r := newSource(seed, index, partSpec)
	s := Spec{
		Class:   r.intn(len(Classes)),
		Colour:  Colours[r.intn(len(Colours))],
		Pattern: Patterns[r.intn(len(Patterns))],
		Place:   Places[r.intn(len(Places))],
		Mirror:  r.chance(50),
		Scale:   r.between(21*unit, 29*unit),
		Stretch: r.between(88, 114),
		Angle:   r.jitter(40),
		X:       Size/2*unit + r.jitter(8*unit),
		Y:       Size/2*unit + r.jitter(8*unit),
	}
	shape, turn := Shapes[r.intn(len(Shapes))], r.jitter(170)
	switch Classes[s.Class] {
	case "sign":
		s.Shape = shape
	case "banana": // fruit lies any way round
		s.Angle = turn
	}
	return s
}

// Caption is the caption of the scene (seed, index), without drawing it.
func Caption(seed, index uint64) string {
	return caption(Sample(seed, index), newSource(seed, index, partCaption))
}

// Draw draws the scene (seed, index).
func Draw(seed, index uint64) *Scene { return DrawSpec(Sample(seed, index), seed, index) }

// DrawSpec draws a chosen scene; what the spec leaves open, the individual's
// form and the details of the place, comes from seed and index. Words that are
// not in the package's lists draw nothing: [Spec.Valid] tells beforehand.
func DrawSpec(s Spec, seed, index uint64) *Scene {
	return draw(s, seed, index, newSource(seed, index, partObject), nil)
}

// DrawAgain draws the individual of the scene (seed, index) as s has it: its form
// stays, while colour, pattern, place and pose are those of s, and place, coat and
// light are drawn for this view. View 0 is not the scene itself.
func DrawAgain(s Spec, seed, index, view uint64) *Scene {
	form := newSource(seed, index, partObject)
	individual := Sample(seed, index)
	newCoat(individual, form) // what comes next from the source is the form
	s.Class, s.Shape = individual.Class, individual.Shape
	other := index ^ (view+1)<<48
	return draw(s, seed, other, newSource(seed, other, partObject), form)
}

// DrawBackground draws the scene (seed, index) without its object.
func DrawBackground(seed, index uint64) *Scene {
	return draw(Sample(seed, index), seed, index, nil, nil)
}

// Part is what is shown of a scene. What can be told from a part tells what
// scenes can be solved by.
type Part string

// The parts of a scene.
const (
	Whole          Part = ""
	BackgroundOnly Part = "background" // the place without the object
	SilhouetteOnly Part = "silhouette" // the object's form, white on black
)

// ParsePart reads the name of a part.
func ParsePart(name string) (Part, error) {
	switch p := Part(name); p {
	case Whole, BackgroundOnly, SilhouetteOnly:
		return p, nil
	}
	return Whole, fmt.Errorf("%q is not a part of scenes: want %s or %s", name, BackgroundOnly, SilhouetteOnly)
}

// DrawPart draws a part of the scene (seed, index).
func DrawPart(part Part, seed, index uint64) *Scene {
	switch part {
	case BackgroundOnly:
		return DrawBackground(seed, index)
	case SilhouetteOnly:
		s := Draw(seed, index)
		s.Pix = s.Silhouette().Pix
		return s
	}
	return Draw(seed, index)
}

// rasters are reused: their lists of crossings have grown to what scenes need.
var rasters = sync.Pool{New: func() any { return new(raster) }}

// draw draws the place and, in front of it, an object unless surface is nil: its
// coat comes from surface, its form from form, or from surface too if that is nil.
func draw(s Spec, seed, index uint64, surface, form *source) *Scene {
	c := &canvas{raster: rasters.Get().(*raster)}
	defer rasters.Put(c.raster)
	r := newSource(seed, index, partPlace)
	if place, ok := places[s.Place]; ok {
		place(c, r)
	}
	c.litter(r)
	if surface != nil && s.Class >= 0 && s.Class < len(Classes) {
		k := newCoat(s, surface)
		f := newFrame(point{s.X, s.Y}, s.Scale, s.Stretch, s.Angle, s.Mirror)
		sk := &sketch{canvas: c, frame: f, coat: k}
		shapes[s.Class](sk, cmp.Or(form, surface), s)
	}
	c.light(newSource(seed, index, partLight))
	return &Scene{Spec: s, Caption: caption(s, newSource(seed, index, partCaption)), Pix: c.pix[:], Mask: c.mask[:]}
}

// Valid reports whether every word of the spec is one of the package's.
func (s Spec) Valid() bool {
	return s.Class >= 0 && s.Class < len(Classes) && slices.Contains(Colours, s.Colour) &&
		slices.Contains(Patterns, s.Pattern) && slices.Contains(Places, s.Place) && s.Scale > 0 && s.Stretch > 0 &&
		(Classes[s.Class] != "sign" || slices.Contains(Shapes, s.Shape))
}

// Picture is the scene as a decoded picture.
func (s *Scene) Picture() *picture.Picture {
	return &picture.Picture{Mode: picture.RGB, Width: Size, Height: Size, Pix: slices.Clone(s.Pix), Orientation: 1}
}

// Silhouette is the object's form alone: its mask in white on black.
func (s *Scene) Silhouette() *picture.Picture {
	pix := make([]uint8, 0, 3*len(s.Mask))
	for _, a := range s.Mask {
		pix = append(pix, a, a, a)
	}
	return &picture.Picture{Mode: picture.RGB, Width: Size, Height: Size, Pix: pix, Orientation: 1}
}

// mask says which pixels are the object: those of which it covers half or more.
func (s *Scene) mask() *data.Mask {
	m := &data.Mask{Width: Size, Height: Size, Pix: make([]uint8, len(s.Mask))}
	for i, covered := range s.Mask {
		if covered >= 128 {
			m.Pix[i] = data.MaskObject
		}
	}
	return m
}

// light gives the picture its exposure, tint and sensor noise.
func (c *canvas) light(r *source) {
	gain := r.between(215, 290)
	var gains [3]int
	for i := range gains {
		gains[i] = gain + r.jitter(14)
	}
	for i := 0; i+12 <= len(c.pix); i += 12 { // a draw is enough for four pixels
		bits := r.pcg.Uint64()
		for k := range 12 {
			grain := int(bits&31)*13>>5 - 6
			bits >>= 5
			c.pix[i+k] = clamp(int(c.pix[i+k])*gains[k%3]>>8 + grain)
		}
	}
}
