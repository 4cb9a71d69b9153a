package plots

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"vitdecompose/data"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit/saliency"
)

// MaskAlbum has the masks of a data set's pictures.
type MaskAlbum interface {
	// Mask returns the mask of picture i, resized and cropped as the model sees the picture.
	Mask(i int) (*data.Mask, error)
}

// SegmentationSheetOptions say how much [SegmentationSheet] shows; 0 is the default.
type SegmentationSheetOptions struct {
	Pictures int // how many of the first are shown, 8 by default
}

// SegmentationSheet draws what one model's methods take for the object of pictures: the picture, its true mask, and for
// each method its saliency over the picture with the outline of its cut, which is at the mean. The pictures of album are
// as the model sees them.
func SegmentationSheet(result experiments.ModelSegmentation, album Album, masks MaskAlbum,
	opts SegmentationSheetOptions) (*Sheet, error) {
	return laidOut("segmentation sheet: "+result.Model, PageWidth, func(width vg.Length) (*Sheet, error) { return segmentationSheet(result, album, masks, opts, width) })
}

func segmentationSheet(result experiments.ModelSegmentation, album Album, masks MaskAlbum,
	opts SegmentationSheetOptions, width vg.Length) (*Sheet, error) {
	shown, err1 := option("Pictures", opts.Pictures, 8)
	thumbnails, err2 := newThumbnails(album)
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	if masks == nil {
		return nil, errors.New("no masks to show")
	}
	if len(result.Examples) == 0 {
		return nil, errors.New("no examples")
	}
	examples := first(shown, result.Examples)
	var methods indexer
	for _, e := range examples {
		if err := checkExample(e); err != nil {
			return nil, fmt.Errorf("picture %d (%s): %w", e.Picture, e.Name, err)
		}
		for _, m := range e.Maps {
			methods.of(m.Method)
		}
	}

	const most = 8 // panels in a line
	panels := 2 + len(methods.names)
	if panels > most {
		return nil, fmt.Errorf("%d methods, at most %d are large enough to see", len(methods.names), most-2)
	}
	across := min(max(1, inProportion(width, most)/panels), len(examples)) // examples side by side
	inner := width - 2*margin
	const space = vg.Length(5)
	each := (inner+cellGap)/vg.Length(across) - cellGap // of an example
	side := onPixel(min(96, (each+space)/vg.Length(panels)-space))

	d := segmentationRows{thumbnails, masks, &methods, side, space, false}
	boxes := []box{segmentationKey(inner)}
	for some := range slices.Chunk(examples, across) {
		var cells []box
		for _, e := range some {
			cell, err := d.example(e, each)
			if err != nil {
				return nil, err
			}
			cells = append(cells, cell)
		}
		boxes = append(boxes, row(cellGap, cells...), below(0.6*smallSize))
	}
	sheet := newSheet(width, append(boxes, below(0.5*smallSize))...)
	sheet.caption = Caption{"Objects outlined by methods with " + result.Model, append([]string{
		fmt.Sprintf("Each picture, its true mask, and how much each place speaks for its class by %s, in units of the picture's largest.", listed(methods.names)),
		"The vermilion line is around what lies above the mean of the map, which the method takes for the object.",
	}, when(d.ignored, "Grey stripes in a mask: pixels that count for nothing.")...)}
	return sheet, nil
}

// segmentationKey says what the colours of saliencies and the line in them are.
func segmentationKey(width vg.Length) box {
	const scale = vg.Length(80)
	style := textStyle(tickSize)
	captioned := func(lead box, text string) box {
		return row(0, lead, line(text, style, width-lead.width, 0.8*tickSize).wide(style.Width(text))).high(2.6 * smallSize)
	}
	inside := vg.Point{X: 5, Y: 5}
	cut := column(below(1), pictured(nil, inside, inside.X, frame{cutColour, 1.2})).right(2)
	return flowing([]box{
		captioned(bar(salient.at, 0, 1, scale).wide(scale+legendGap+2), "saliency (largest = 1)"),
		captioned(cut.wide(12), "above the mean"),
	}, legendColumn, width)
}

// segmentationRows lay out examples.
type segmentationRows struct {
	thumbnails  *thumbnails
	masks       MaskAlbum
	methods     *indexer
	side, space vg.Length // of panels, and between them
	ignored     bool      // whether a mask had pixels that count for nothing
}

// example is a picture, its mask and its maps under what it shows.
func (d *segmentationRows) example(e experiments.SegmentationExample, width vg.Length) (box, error) {
	picture, size, err := d.thumbnails.of(e.Picture, e.Name, d.side)
	if err != nil {
		return box{}, err
	}
	wrap := func(err error) error { return fmt.Errorf("picture %d (%s): %w", e.Picture, e.Name, err) }
	mask, err := d.masks.Mask(e.Picture)
	if err == nil {
		err = mask.Check()
	}
	if err == nil {
		err = sameShape(mask, size)
	}
	if err != nil {
		return box{}, wrap(err)
	}
	d.ignored = d.ignored || slices.Contains(mask.Pix, data.MaskIgnored)

	style, small := textStyle(titleSize), textStyle(smallSize)
	head := []box{line(e.Class, style, width, 1.8*tickSize).wide(style.Width(e.Class) + 6)}
	if rest := width - style.Width(e.Class) - 8; rest > 20 {
		head = append(head, line(e.Name, small, rest, 1.8*tickSize))
	}
	panels := make([]box, 2+len(d.methods.names))
	place := func(at int, name string, picture image.Image) {
		panels[at] = column(line(name, small, d.side, 1.7*smallSize), below(0.4*smallSize), pictured(picture, size, d.side, noFrame))
	}
	for i := range panels {
		panels[i] = space(d.side, 0)
	}
	place(0, "picture", picture)
	place(1, "true mask", masked(mask, picture))
	for _, m := range e.Maps {
		cut, err := salience(m, mask, picture, float64(picture.Bounds().Dx())/float64(size.X))
		if err != nil {
			return box{}, wrap(fmt.Errorf("%s: %w", m.Method, err))
		}
		place(2+d.methods.of(m.Method), m.Method, cut)
	}
	return column(row(0, head...), row(d.space, panels...)).wide(width), nil
}

// cutColour is that of the line around what a method takes for the object.
var cutColour = colours[1]

// masked shows what a mask says about a picture: the object as it is, the rest pale, ignored pixels striped.
func masked(mask *data.Mask, picture image.Image) image.Image {
	size := picture.Bounds().Size()
	out := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			pixel := picture.At(picture.Bounds().Min.X+x, picture.Bounds().Min.Y+y)
			switch mask.Pix[y*mask.Height/size.Y*mask.Width+x*mask.Width/size.X] {
			case data.MaskBackground:
				grey := color.GrayModel.Convert(pixel).(color.Gray).Y
				pixel = color.Gray{0xff - (0xff-grey)/5}
			case data.MaskIgnored:
				pixel = midGrey
				if (x+y)/4%2 == 0 {
					pixel = gridGrey
				}
			}
			out.Set(x, y, pixel)
		}
	}
	return out
}

// salience shows a method's map over a picture with the given number of pixels to a point. As in the experiment, the map is
// cut at the size of the mask.
func salience(m experiments.SegmentationMap, mask *data.Mask, picture image.Image, perPoint float64) (image.Image, error) {
	size := picture.Bounds().Size()
	foreground, err := experiments.Foreground(saliency.Resize(m.Values, m.Rows, m.Columns, mask.Height, mask.Width))
	if err != nil {
		return nil, err
	}
	values := saliency.Resize(m.Values, m.Rows, m.Columns, size.Y, size.X)
	largest := float64(max(slices.Max(values), math.SmallestNonzeroFloat32)) // of a map without saliency, all is 0
	out := lay(values, func(v float64) color.RGBA { return salient.at(v / largest) }, picture)

	// The line is on the inside: pixels of the foreground that are near the background.
	inside := func(p image.Point) bool {
		return p.In(out.Rect) && foreground[p.Y*mask.Height/size.Y*mask.Width+p.X*mask.Width/size.X]
	}
	width := max(1, int(math.Round(1.2*perPoint)))
	for y := range size.Y {
		for x := range size.X {
			p := image.Pt(x, y)
			atEdge := func(step image.Point) bool { return inside(p.Add(step)) }
			if inside(p) || !slices.ContainsFunc([]image.Point{{X: 1}, {X: -1}, {Y: 1}, {Y: -1}}, atEdge) {
				continue
			}
			for dy := -width; dy <= width; dy++ {
				for dx := -width; dx <= width; dx++ {
					if near := p.Add(image.Pt(dx, dy)); dx*dx+dy*dy <= width*width && inside(near) {
						out.Set(near.X, near.Y, cutColour)
					}
				}
			}
		}
	}
	return out, nil
}

// sameShape returns an error unless a mask is as high for its width as a picture.
func sameShape(mask *data.Mask, picture vg.Point) error {
	const slack = 0.02
	if ratio := float64(picture.Y/picture.X) * float64(mask.Width) / float64(mask.Height); math.Abs(ratio-1) > slack {
		return fmt.Errorf("the mask of %d x %d pixels has another shape than the picture", mask.Width, mask.Height)
	}
	return nil
}

func checkExample(e experiments.SegmentationExample) error {
	if e.Picture < 0 {
		return errors.New("no such picture")
	}
	if len(e.Maps) == 0 {
		return errors.New("no maps")
	}
	for i, m := range e.Maps {
		if slices.ContainsFunc(e.Maps[:i], func(before experiments.SegmentationMap) bool { return before.Method == m.Method }) {
			return fmt.Errorf("method %q twice", m.Method)
		}
		if err := checkGrid(m.Rows, m.Columns, m.Values); err != nil {
			return fmt.Errorf("%s: %w", m.Method, err)
		}
	}
	return nil
}
