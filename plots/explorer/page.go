package explorer

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	xdraw "golang.org/x/image/draw"

	"vitdecompose/data/atomicfile"
	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// Page is the content of a page: pictures seen by one model or more.
type Page struct {
	Models []Model
	// Data has the pictures among which the models' top pictures are; its Dataset is nil where there are none.
	Data session.Album
	// Notes are lines about how the numbers were made.
	Notes []string
	// More is the address that answers further questions, Home the one that shows all pictures; "" for a page on its own.
	More, Home string
}

// Model is what was found with one model, and the pictures as it sees them.
type Model struct {
	experiments.ExploredModel
	View session.View
	// Texts and Classes are what further questions may be about, where the page has an address for them.
	Texts   bool
	Classes []string
}

// Write writes the page. The file is there in full or, when an error is returned, as it was.
func Write(path string, p Page) error {
	out, err := HTML(p)
	if err != nil {
		return err
	}
	return write(path, out)
}

func write(path string, content []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

var (
	//go:embed page.html
	layoutText string
	//go:embed explorer.js
	script string
	//go:embed explorer.css
	sheet string

	layout = template.Must(template.New("page").Parse(layoutText))
)

// HTML is the page as one HTML file.
func HTML(p Page) ([]byte, error) {
	content, err := contentOf(p)
	if err != nil {
		return nil, fmt.Errorf("explorer page: %w", err)
	}
	encoded, err := json.Marshal(content) // < and > are escaped
	if err != nil {
		return nil, fmt.Errorf("explorer page: %w", err)
	}
	face, err := plots.FontFace(slices.Concat([]rune(string(encoded)), []rune(script)))
	if err != nil {
		return nil, fmt.Errorf("explorer page: %w", err)
	}
	var out bytes.Buffer
	err = layout.Execute(&out, map[string]any{
		"Font":  template.JS(face), // of drawings that are saved; the page itself takes what the system has
		"Title": content.title(), "Style": template.CSS(sheet), "Script": template.JS(script), "Data": template.JS(encoded),
		"Ink": template.CSS(content.Style.Ink), "Line": template.CSS(content.Style.Grid), "Mid": template.CSS(content.Style.Mid),
	})
	return out.Bytes(), err
}

// The content types are what the script reads.
type (
	content struct {
		Style   plots.ScreenStyle  `json:"style"`
		Models  []modelContent     `json:"models"`
		Views   []viewContent      `json:"views"`
		Gallery []thumbnailContent `json:"gallery"`
		Notes   []string           `json:"notes"`
		More    string             `json:"more,omitempty"`
		Home    string             `json:"home,omitempty"`
	}
	modelContent struct {
		Name    string        `json:"name"`
		Rows    []string      `json:"rows"`
		Columns []string      `json:"columns"`
		Parts   []partContent `json:"parts"`
		Gallery int           `json:"gallery"`
		Missing []string      `json:"missing"`
		Texts   bool          `json:"texts,omitempty"`
		Classes []string      `json:"classes,omitempty"`
	}
	partContent struct {
		Name  string `json:"name"`
		Short string `json:"short"`
		Kind  string `json:"kind"`
		// Row and Column are the place in the grid; -1 beside it.
		Row       int      `json:"row"`
		Column    int      `json:"column"`
		Feature   string   `json:"feature,omitempty"`
		Words     []string `json:"words,omitempty"`
		Explained float64  `json:"explained,omitempty"`
	}
	viewContent struct {
		Model     int             `json:"model"`
		Picture   int             `json:"picture"` // position in the data
		Name      string          `json:"name"`
		Label     string          `json:"label,omitempty"`
		Image     string          `json:"image"`
		Classes   []classContent  `json:"classes"`
		Exactness float64         `json:"exactness"`
		Follow    []followContent `json:"follow"`
	}
	classContent struct {
		Name  string  `json:"name"`
		Logit float64 `json:"logit"`
	}
	// followContent are the questions, followed in one way: "direct" holds fixed what a block reads.
	followContent struct {
		Name      string            `json:"name"`
		Questions []questionContent `json:"questions"`
	}
	questionContent struct {
		Subject string     `json:"subject"`
		Name    string     `json:"name"`
		Unit    string     `json:"unit"`
		Value   float64    `json:"value"`
		Offset  float64    `json:"offset"`
		Sum     float64    `json:"sum"`
		Error   float64    `json:"error"`
		Parts   []*float64 `json:"parts"` // null for one that is not part of the sum
		// Maps are one after the other in Values, signed bytes in base64, the map of all parts last.
		Maps   []mapContent `json:"maps"`
		Values string       `json:"values"`
		Tops   [][]int      `json:"tops,omitempty"` // positions in the gallery
	}
	// mapContent says of which part a map is, -1 for all of them, the side of its grid, and what 127 stands for.
	mapContent struct {
		Part  int     `json:"part"`
		Side  int     `json:"side"`
		Limit float64 `json:"limit"`
	}
	thumbnailContent struct {
		Name  string `json:"name"`
		Image string `json:"image"`
	}
)

func (c content) title() string {
	var names []string
	for _, m := range c.Models {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ") + ": parts of a picture"
}

// contentOf puts together what the script reads.
func contentOf(p Page) (content, error) {
	c := content{Style: plots.Screen(steps), Notes: p.Notes, More: p.More, Home: p.Home, Gallery: []thumbnailContent{}}
	if len(p.Models) == 0 {
		return c, errors.New("there is no model")
	}
	g := gallery{album: p.Data, place: make(map[int]int)}
	for m, model := range p.Models {
		if len(model.Pictures) == 0 {
			return c, fmt.Errorf("%s: there is no picture", model.Model)
		}
		described := describe(model.ExploredModel)
		described.Texts, described.Classes = model.Texts, model.Classes
		c.Models = append(c.Models, described)
		for _, picture := range model.Pictures {
			v, err := viewOf(m, model, picture, &g)
			if err != nil {
				return c, fmt.Errorf("%s: %s: %w", model.Model, picture.Name, err)
			}
			c.Views = append(c.Views, v)
		}
	}
	c.Gallery = append(c.Gallery, g.thumbnails...)
	return c, nil
}

// steps is how many colours of the scale there are on either side of white.
const steps = 24

// describe lays out the components of a model in a grid.
func describe(m experiments.ExploredModel) modelContent {
	out := modelContent{Name: m.Model, Gallery: m.Gallery, Missing: append([]string{}, m.Missing...)}
	heads := 0
	var others []string
	for _, c := range m.Components {
		switch {
		case c.Kind == decompose.Head:
			heads = max(heads, c.Head+1)
		case c.Kind.InBlock() && !slices.Contains(others, column(c)):
			others = append(others, column(c))
		}
	}
	for h := range heads {
		out.Columns = append(out.Columns, fmt.Sprintf("H%d", h))
	}
	out.Columns = append(out.Columns, others...)
	for _, c := range m.Components {
		part := partContent{Name: c.String(), Short: c.Short(), Kind: kind(c), Row: -1, Column: -1}
		if c.Kind.InBlock() {
			row := decompose.ShortBlock(c.Block)
			if c.Block.Sublayer != "" {
				row += " " + c.Block.Sublayer
			}
			if part.Row = slices.Index(out.Rows, row); part.Row < 0 {
				part.Row = len(out.Rows)
				out.Rows = append(out.Rows, row)
			}
			if part.Column = c.Head; c.Kind != decompose.Head {
				part.Column = slices.Index(out.Columns, column(c))
			}
		}
		for _, w := range m.Words {
			if w.Component == part.Name {
				part.Feature, part.Words, part.Explained = w.Feature, w.Texts, w.Explained
			}
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

// column is the heading of a component that is no head.
func column(c decompose.Component) string {
	if c.Kind == decompose.MLP {
		return "MLP"
	}
	return strings.TrimSuffix(string(c.Kind), "s")
}

// kind says what a component is.
func kind(c decompose.Component) string {
	switch c.Kind {
	case decompose.Init:
		return "all that enters the first block taken apart"
	case decompose.Conv:
		return "convolution"
	case decompose.Attn:
		return "attention, its heads together"
	case decompose.Head:
		return "attention head"
	case decompose.MLP:
		return "MLP"
	case decompose.Mixer:
		return "token mixer"
	case decompose.PoolMLP:
		return "MLP of the pooling attention"
	case decompose.Rest:
		return "what later blocks add"
	}
	return "biases and shifts of norms"
}

func viewOf(m int, model Model, p experiments.ExploredPicture, g *gallery) (viewContent, error) {
	v := viewContent{Model: m, Picture: p.Picture, Name: filepath.Base(p.Name), Label: p.Label, Exactness: p.Exactness, Classes: []classContent{}}
	seen, err := model.View.Image(p.Picture)
	if err != nil {
		return v, err
	}
	if v.Image, err = encode(seen); err != nil {
		return v, err
	}
	for _, c := range p.Classes {
		v.Classes = append(v.Classes, classContent{c.Class, c.Logit})
	}
	direct := followContent{Name: "direct", Questions: []questionContent{}}
	for _, q := range p.Direct {
		asked, err := g.question(q, len(model.Components))
		if err != nil {
			return v, fmt.Errorf("%s: %w", q.Name, err)
		}
		direct.Questions = append(direct.Questions, asked)
	}
	v.Follow = []followContent{direct}
	return v, nil
}

// question is a question as the script reads it.
func (g *gallery) question(q experiments.Question, parts int) (questionContent, error) {
	out := questionContent{Subject: string(q.Subject), Name: q.Name, Unit: q.Unit, Value: q.Value, Offset: q.Offset, Sum: q.Sum, Error: q.Error(), Maps: []mapContent{}}
	if len(q.Parts) != parts {
		return out, fmt.Errorf("%d numbers for %d components", len(q.Parts), parts)
	}
	for _, v := range append(slices.Clone(q.Parts), q.Value, q.Offset, q.Sum) {
		if math.IsInf(v, 0) {
			return out, errors.New("a number is infinite")
		}
	}
	for _, v := range q.Parts {
		if math.IsNaN(v) {
			out.Parts = append(out.Parts, nil)
		} else {
			out.Parts = append(out.Parts, &v)
		}
	}
	var bytes []byte
	add := func(part, side int, values []float32) error {
		if side*side != len(values) {
			return fmt.Errorf("a map of %d numbers is no square of %d", len(values), side)
		}
		quantised, limit := quantise(values)
		out.Maps = append(out.Maps, mapContent{part, side, limit})
		bytes = append(bytes, quantised...)
		return nil
	}
	for i, values := range q.Maps {
		if values == nil {
			continue
		}
		if err := add(i, q.Grids[i], values); err != nil {
			return out, err
		}
	}
	if q.All != nil {
		if err := add(-1, q.AllGrid, q.All); err != nil {
			return out, err
		}
	}
	out.Values = base64.StdEncoding.EncodeToString(bytes)
	for _, pictures := range q.Tops {
		places := []int{}
		for _, i := range pictures {
			place, err := g.of(i)
			if err != nil {
				return out, err
			}
			places = append(places, place)
		}
		out.Tops = append(out.Tops, places)
	}
	return out, nil
}

// quantise writes numbers as signed bytes, of which 127 stands for limit, the largest magnitude: each is off by at most
// limit/254.
func quantise(values []float32) (bytes []byte, limit float64) {
	for _, v := range values {
		limit = max(limit, math.Abs(float64(v)))
	}
	bytes = make([]byte, len(values))
	for i, v := range values {
		bytes[i] = byte(int8(math.Round(127 * float64(v) / cmp.Or(limit, 1))))
	}
	return bytes, limit
}

// gallery collects the pictures of the data that are shown.
type gallery struct {
	album      session.Album
	place      map[int]int // among the thumbnails, by position in the data
	thumbnails []thumbnailContent
}

// thumbnailSide is the side of a thumbnail in pixels.
const thumbnailSide = 64

// of is the place of a picture of the data, which is added where it is new.
func (g *gallery) of(i int) (int, error) {
	if place, ok := g.place[i]; ok {
		return place, nil
	}
	if g.album.Dataset == nil {
		return 0, errors.New("there are top pictures, but no data")
	}
	picture, err := g.album.Image(i)
	if err != nil {
		return 0, err
	}
	encoded, err := jpegOf(square(picture, thumbnailSide), 75)
	if err != nil {
		return 0, err
	}
	g.place[i] = len(g.thumbnails)
	g.thumbnails = append(g.thumbnails, thumbnailContent{filepath.Base(g.album.Item(i).Name), dataURL("image/jpeg", encoded)})
	return g.place[i], nil
}

// square is the middle of a picture, scaled to a side.
func square(picture image.Image, side int) image.Image {
	b := picture.Bounds()
	edge := min(b.Dx(), b.Dy())
	middle := image.Rect(0, 0, edge, edge).Add(b.Min).Add(image.Pt((b.Dx()-edge)/2, (b.Dy()-edge)/2))
	out := image.NewRGBA(image.Rect(0, 0, side, side))
	xdraw.CatmullRom.Scale(out, out.Rect, picture, middle, xdraw.Src, nil)
	return out
}

// largestPNG is the size in bytes up to which a picture is kept without loss.
const largestPNG = 40_000

// encode writes a picture as PNG, a large one as JPEG.
func encode(picture image.Image) (string, error) {
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		return "", err
	}
	if out.Len() <= largestPNG {
		return dataURL("image/png", out.Bytes()), nil
	}
	encoded, err := jpegOf(picture, 90)
	return dataURL("image/jpeg", encoded), err
}

func jpegOf(picture image.Image, quality int) ([]byte, error) {
	var out bytes.Buffer
	err := jpeg.Encode(&out, picture, &jpeg.Options{Quality: quality})
	return out.Bytes(), err
}

func dataURL(kind string, content []byte) string {
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content)
}
