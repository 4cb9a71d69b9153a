package scenes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

func init() {
	data.Register(data.Kind{
		Name: "scenes-birds", Argument: "N[:SEED[:correlated|uncorrelated]]", OwnLabels: true,
		Help: "Waterbirds in drawn scenes: land birds and water birds, on land and on water",
		Open: func(_ context.Context, argument string, _ data.Options) (data.Dataset, error) {
			return openBirds(argument)
		},
	})
}

// BirdClasses are the classes of Birds, BirdPlaces the kinds of places, in the order of the classes that they fit.
var (
	BirdClasses = []string{"landbird", "waterbird"}
	BirdPlaces  = []string{"land", "water"}
)

// birdSpecies are the classes of scenes that are of each of BirdClasses, birdGrounds the places of each kind. Those of land
// are the two of Waterbirds (Sagawa et al. 2019, arXiv 1911.08731), bamboo and broadleaf forest.
var (
	birdSpecies = [][]string{{"finch", "hummingbird"}, {"swan", "pelican"}}
	birdGrounds = [][]string{{"forest", "bamboo"}, {"ocean", "lake"}}
)

// Birds is Waterbirds in the drawn world: scenes of land birds and water birds on land and on water. Correlated ones are at
// the kind of place that fits them in nine of ten cases, the others in one of two. Colour, pattern, pose and all the rest
// are independent of both.
type Birds struct {
	seed       uint64
	n          int
	correlated bool
}

// NewBirds is the data set of the first n scenes of a seed with a bird each.
func NewBirds(seed uint64, n int, correlated bool) *Birds { return &Birds{seed, n, correlated} }

// The ways to put birds at places.
const (
	correlated   = "correlated"
	uncorrelated = "uncorrelated"
)

// openBirds reads N, N:SEED or N:SEED:correlated and N:SEED:uncorrelated; uncorrelated is the default.
func openBirds(argument string) (*Birds, error) {
	n, seed, way, err := drawn("scenes-birds:N, scenes-birds:N:SEED or scenes-birds:N:SEED:correlated", argument)
	if err != nil {
		return nil, err
	}
	if strings.Count(argument, ":") > 1 && way != correlated && way != uncorrelated {
		return nil, fmt.Errorf("%q does not say how birds are put in places: want %s or %s", way, correlated, uncorrelated)
	}
	return NewBirds(seed, n, way == correlated), nil
}

// Spec is what scene i shows, without drawing it: the scene of the same seed and index with another class and place.
func (d *Birds) Spec(i int) Spec {
	s, _, _ := d.sample(i)
	return s
}

// sample chooses the bird, 0 or 1, and the kind of place.
func (d *Birds) sample(i int) (s Spec, bird, place int) {
	s = Sample(d.seed, uint64(i))
	r := newSource(d.seed, uint64(i), partBird)
	chance := 50
	if d.correlated {
		chance = 90
	}
	bird = r.intn(2)
	if place = bird; !r.chance(chance) {
		place = 1 - bird
	}
	s.Class = slices.Index(Classes, birdSpecies[bird][r.intn(2)])
	s.Place, s.Shape = birdGrounds[place][r.intn(2)], ""
	s.Angle = r.jitter(40) // a banana's would be any
	return s, bird, place
}

// Scene draws scene i with all that is known about it.
func (d *Birds) Scene(i int) *Scene { return DrawSpec(d.Spec(i), d.seed, uint64(i)) }

// Len implements data.Dataset.
func (d *Birds) Len() int { return d.n }

// Classes implements data.Dataset.
func (d *Birds) Classes() []string { return slices.Clone(BirdClasses) }

// Item names scene i by its seed and index.
func (d *Birds) Item(i int) data.Item {
	_, bird, _ := d.sample(i)
	return data.Item{Name: fmt.Sprintf("bird-%d-%06d", d.seed, i), Label: bird}
}

// Picture draws scene i.
func (d *Birds) Picture(i int) (*picture.Picture, error) {
	p := d.Scene(i).Picture()
	p.Name = d.Item(i).Name
	return p, nil
}

// Attributes implements [data.Attributed]: place is land or water; location, color, pattern and object are those of
// [Dataset.Attributes].
func (d *Birds) Attributes(i int) map[string]string {
	s, _, place := d.sample(i)
	a := s.attributes(Whole)
	a["place"] = BirdPlaces[place]
	return a
}

// Mask implements data.Masked.
func (d *Birds) Mask(i int) (*data.Mask, error) { return d.Scene(i).mask(), nil }

// Hash depends on Version, seed, number and the way alone: they determine every byte.
func (d *Birds) Hash() (string, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "scenes-birds version %d.%d seed %d n %d correlated %v", Version, birdsVersion, d.seed, d.n, d.correlated))
	return hex.EncodeToString(sum[:]), nil
}

// birdsVersion changes whenever what Birds show changes.
const birdsVersion = 1
