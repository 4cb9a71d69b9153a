package explorer

import (
	"encoding/base64"
	"encoding/json"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
	"vitdecompose/gomlxvit/preprocess"
)

// photos is a data set of pictures of some side that compress as badly as photos at most do: noise, smoothed.
type photos struct{ n, side int }

func (p photos) Len() int          { return p.n }
func (p photos) Classes() []string { return []string{"cat", "<b>dog"} }
func (p photos) Item(i int) data.Item {
	return data.Item{Name: "photos/</script>" + string(rune('a'+i%26)) + ".jpg", Label: i % 2}
}
func (p photos) Hash() (string, error) { return "photos", nil }
func (p photos) Picture(i int) (*picture.Picture, error) {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	img := image.NewRGBA(image.Rect(0, 0, p.side, p.side))
	grey := 128.0
	for y := range p.side {
		for x := range p.side {
			grey = min(max(0.8*grey+0.2*float64(rng.IntN(256)), 0), 255)
			img.Set(x, y, color.RGBA{uint8(grey), uint8(255 - grey), uint8(grey / 2), 255})
		}
	}
	return picture.FromImage(img), nil
}

// synthetic is a result with random numbers: a plain transformer of some depth and heads, with a class token and side*side patches.
func synthetic(depth, heads, side, questions, pictures int) experiments.ExploredModel {
	rng := rand.New(rand.NewPCG(3, 3))
	tokens := side*side + 1
	m := experiments.ExploredModel{Model: "synthetic", Gallery: pictures, Components: []decompose.Component{{Kind: decompose.Init}}}
	for layer := range depth {
		block := mark.Plain(layer)
		for h := range heads {
			m.Components = append(m.Components, decompose.Component{Kind: decompose.Head, Block: block, Head: h, Tokens: tokens})
		}
		m.Components = append(m.Components, decompose.Component{Kind: decompose.MLP, Block: block, Tokens: tokens})
	}
	m.Components = append(m.Components, decompose.Component{Kind: decompose.Const})
	for _, c := range m.Components[1:] {
		m.Words = append(m.Words, experiments.ComponentInWords{Component: c.String(), Feature: "color", Texts: []string{"a photo of a dog", "a blurry picture of water", "an aerial view", "something striped", "five people"}, Explained: 0.4})
	}
	p := experiments.ExploredPicture{Name: "photos/one.jpg", Label: "cat", Exactness: 1e-6, Classes: []experiments.ClassScore{{Class: "cat", Logit: 8.25}, {Class: "<b>dog", Logit: 2}}}
	for k := range questions {
		q := experiments.Question{Subject: experiments.OfText, Name: "text " + string(rune('a'+k)), Unit: "cosine similarity"}
		switch k {
		case 0:
			q = experiments.Question{Subject: experiments.OfShare, Name: "share of the representation", Unit: "share"}
		case 1:
			q = experiments.Question{Subject: experiments.OfClass, Name: "cat", Unit: "logit", Offset: 0.25}
		}
		q.All, q.AllGrid = make([]float32, side*side), side
		for _, c := range m.Components {
			v := rng.NormFloat64()
			q.Parts = append(q.Parts, v)
			q.Sum += v
			var values []float32
			if c.Kind == decompose.Head {
				for i := range side * side {
					values = append(values, float32(rng.NormFloat64()/float64(side)))
					q.All[i] += values[i]
				}
			}
			q.Maps, q.Grids = append(q.Maps, values), append(q.Grids, side)
			var tops []int
			for range min(4, pictures) {
				tops = append(tops, rng.IntN(pictures))
			}
			q.Tops = append(q.Tops, tops)
		}
		q.Value = q.Sum + q.Offset
		p.Direct = append(p.Direct, q)
	}
	m.Pictures = []experiments.ExploredPicture{p}
	return m
}

// view shows pictures as a model of an input side sees them.
func view(ds data.Dataset, side int) session.View {
	return session.View{Extraction: extraction.Extraction{Data: ds, Model: &gomlxvit.Model{Preprocess: preprocess.Config{
		Library: "timm", Size: [2]int{side, side}, Interpolation: "bicubic", CropPct: 1, CropMode: "center", Std: [3]float32{1, 1, 1},
	}}}}
}

// TestSize: a picture of a ViT-B, 144 heads that read 196 patches, with five classes, eight texts and a gallery of which all 300
// pictures are shown, takes less than 5 MB.
func TestSize(t *testing.T) {
	out, err := HTML(Page{Models: []Model{{ExploredModel: synthetic(12, 12, 14, 1+5+8, 300), View: view(photos{1, 224}, 224)}}, Data: session.Album{Dataset: photos{300, 128}}})
	require.NoError(t, err)
	require.Less(t, len(out), 5_000_000)
	require.Greater(t, len(out), 14*144*196, "the maps are in it")
	t.Logf("%.2f MB", float64(len(out))/1e6)
}

var dataElement = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// contentIn reads back what the page's script reads.
func contentIn(t *testing.T, page []byte) (c content) {
	t.Helper()
	found := dataElement.FindSubmatch(page)
	require.NotNil(t, found)
	require.NoError(t, json.Unmarshal(found[1], &c))
	return c
}

// TestPage reads a page back: all numbers are in it as they were, maps to within what the page says.
func TestPage(t *testing.T) {
	m := synthetic(2, 3, 4, 3, 6)
	m.Pictures[0].Direct[2].Parts[0] = math.NaN()
	m.Pictures[0].Direct[2].Maps[1] = nil
	path := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, Write(path, Page{Models: []Model{{ExploredModel: m, View: view(photos{1, 32}, 32)}}, Data: session.Album{Dataset: photos{6, 32}}, Notes: []string{"--bank scenes"}}))
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(string(page), "</script>"), "names of files and classes do not end the script")
	require.Equal(t, strings.Count(string(page), "http://www.w3.org/2000/svg"), strings.Count(string(page), "://"), "nothing is loaded")
	c := contentIn(t, page)
	require.Equal(t, []string{"L0", "L1"}, c.Models[0].Rows)
	require.Equal(t, []string{"H0", "H1", "H2", "MLP"}, c.Models[0].Columns)
	require.Equal(t, []string{"--bank scenes"}, c.Notes)
	require.Len(t, c.Views, 1)
	require.Equal(t, "one.jpg", c.Views[0].Name)
	require.Equal(t, "direct", c.Views[0].Follow[0].Name)
	require.Len(t, c.Models[0].Parts, len(m.Components))
	for i, part := range c.Models[0].Parts {
		require.Equal(t, m.Components[i].String(), part.Name)
		if m.Components[i].Kind == decompose.Head {
			require.Equal(t, [2]int{m.Components[i].Block.Index, m.Components[i].Head}, [2]int{part.Row, part.Column})
		}
		if i > 0 {
			require.Len(t, part.Words, 5)
		}
	}
	for k, q := range c.Views[0].Follow[0].Questions {
		asked := m.Pictures[0].Direct[k]
		require.Equal(t, asked.Value, q.Value)
		require.Equal(t, asked.Offset, q.Offset)
		require.Equal(t, asked.Sum, q.Sum)
		for i, v := range asked.Parts {
			if math.IsNaN(v) {
				require.Nil(t, q.Parts[i])
			} else {
				require.Equal(t, v, *q.Parts[i])
			}
		}
		values, err := base64.StdEncoding.DecodeString(q.Values)
		require.NoError(t, err)
		maps := 0
		for _, described := range q.Maps {
			original := asked.All
			if described.Part >= 0 {
				original = asked.Maps[described.Part]
			}
			for _, v := range original {
				require.InDelta(t, v, float64(int8(values[0]))*described.Limit/127, described.Limit/254*1.001)
				values = values[1:]
			}
			maps++
		}
		require.Empty(t, values)
		want := 7
		if k == 2 {
			want = 6
		}
		require.Equal(t, want, maps, "of heads, and of all")
		for i, tops := range q.Tops {
			require.Len(t, tops, len(asked.Tops[i]))
			for n, place := range tops {
				require.Equal(t, filepath.Base(photos{}.Item(asked.Tops[i][n]).Name), c.Gallery[place].Name)
			}
		}
	}
}

func TestQuantise(t *testing.T) {
	bytes, limit := quantise([]float32{0, -2, 1, 2})
	require.Equal(t, []byte{0, 0x81, 64, 127}, bytes)
	require.Equal(t, 2.0, limit)
	bytes, limit = quantise([]float32{0, 0})
	require.Equal(t, []byte{0, 0}, bytes)
	require.Zero(t, limit)
}

func TestPageMistakes(t *testing.T) {
	good := func() Page {
		return Page{Models: []Model{{ExploredModel: synthetic(1, 2, 2, 2, 3), View: view(photos{1, 16}, 16)}}, Data: session.Album{Dataset: photos{3, 16}}}
	}
	_, err := HTML(good())
	require.NoError(t, err)
	for says, spoil := range map[string]func(p *Page){
		"there is no model":                    func(p *Page) { p.Models = nil },
		"there is no picture":                  func(p *Page) { p.Models[0].Pictures = nil },
		"numbers for 4 components":             func(p *Page) { p.Models[0].Components = p.Models[0].Components[1:] },
		"a number is infinite":                 func(p *Page) { p.Models[0].Pictures[0].Direct[0].Parts[1] = math.Inf(1) },
		"a map of 4 numbers is no square of 3": func(p *Page) { p.Models[0].Pictures[0].Direct[0].Grids[1] = 3 },
		"there are top pictures, but no data":  func(p *Page) { p.Data.Dataset = nil },
	} {
		p := good()
		spoil(&p)
		_, err := HTML(p)
		require.ErrorContains(t, err, says)
	}
}
