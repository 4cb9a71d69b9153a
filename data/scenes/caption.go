package scenes

import "strings"

// placePhrases says where, in several wordings per place.
var placePhrases = map[string][]string{
	"ocean":  {"in the ocean", "on the ocean", "at sea", "in the sea", "with the sea behind it", "in ocean water", "above the waves"},
	"lake":   {"on a lake", "at a lake", "by the lake", "on the water of a lake", "in lake water"},
	"sky":    {"in the sky", "against the sky", "among clouds", "in the air", "with clouds and sky behind it"},
	"beach":  {"on a beach", "at the beach", "on the sand of a beach", "by the sea on a beach"},
	"forest": {"in a forest", "in the forest", "among trees", "in the woods", "between the trees of a forest"},
	"bamboo": {"in bamboo", "in a bamboo forest", "among bamboo", "with bamboo leaves behind it"},
	"meadow": {"in a meadow", "on a meadow", "in the grass", "on green land", "among flowers in a meadow"},
	"desert": {"in a desert", "in the desert", "on desert land", "on sand dunes"},
	"snow":   {"in the snow", "on snow", "in a winter landscape", "on snowy land"},
	"city":   {"in a city", "in the city", "on a street", "in front of buildings", "in a city street"},
}

// kinds is the wider word for a class.
var kinds = map[string]string{
	"finch": "bird", "hummingbird": "bird", "swan": "bird", "pelican": "bird",
	"cat": "animal", "camel": "animal", "elephant": "animal", "giraffe": "animal",
	"car": "vehicle", "truck": "vehicle", "banana": "fruit", "sign": "thing",
}

// Kind is the wider word for a class: bird, animal, vehicle, fruit or thing.
func Kind(class int) string { return kinds[Classes[class]] }

// shapePhrases says of a shape in other words than "a triangular sign".
var shapePhrases = map[string]string{
	"triangular":  "in the shape of a triangle",
	"rectangular": "in the shape of a rectangle",
	"circular":    "in the shape of a circle",
	"octagonal":   "in the shape of an octagon",
}

// caption describes a scene in one of many wordings. Some leave things out, as
// people do, but never the class.
func caption(s Spec, r *source) string {
	if !s.Valid() {
		return ""
	}
	noun, form := Classes[s.Class], ""
	switch kind := Kind(s.Class); {
	case s.Shape != "":
		noun, form = shapedNoun(s.Shape, noun, r)
	case r.chance(12):
		noun += " " + kind
	case r.chance(12):
		form = "which is " + article(kind)
	}
	surface := s.Pattern
	if s.Pattern == "plain" && r.chance(50) {
		surface = ""
	}
	words, tail := "", ""
	switch r.intn(8) {
	case 0: // colour only
		words = join(s.Colour, noun)
	case 1:
		words = join(surface, noun)
	case 2:
		words, tail = join(s.Colour, noun), "with "+article(s.Pattern)+" pattern"
	case 3:
		words, tail = join(surface, noun), "of "+s.Colour+" color"
	case 4:
		words = join(s.Colour, "and", s.Pattern, noun)
	default:
		words = join(surface, s.Colour, noun)
	}
	where := ""
	if phrases := placePhrases[s.Place]; !r.chance(8) {
		where = phrases[r.intn(len(phrases))]
	}
	picture := [...]string{"a photo of", "a picture of", "an image of", "a drawing of", "a small photo of", "", ""}[r.intn(7)]
	return join(picture, article(words), form, tail, where)
}

// shapedNoun names a sign with its shape, before the noun or after it, or leaves
// the shape out.
func shapedNoun(shape, noun string, r *source) (before, behind string) {
	switch r.intn(8) {
	case 0, 1, 2, 3:
		return shape + " " + noun, ""
	case 4:
		return noun, "of " + shape + " shape"
	case 5:
		return noun, shapePhrases[shape]
	case 6:
		if shape == "octagonal" {
			return "octagon " + noun, ""
		}
		return noun, "with " + article(shape) + " shape"
	}
	return noun, ""
}

// article puts a or an before a phrase.
func article(phrase string) string {
	if strings.ContainsRune("aeio", rune(phrase[0])) {
		return "an " + phrase
	}
	return "a " + phrase
}

func join(words ...string) string {
	kept := words[:0]
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}
