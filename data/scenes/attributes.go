package scenes

import "slices"

// Attributes implements [data.Attributed]: the truth about what can be seen of scene i, in the words of the package's
// lists, as color, location, pattern, object and, of a sign, shape.
func (d *Dataset) Attributes(i int) map[string]string { return d.Spec(i).attributes(d.part) }

// attributes is what can be seen of a part of a scene.
func (s Spec) attributes(part Part) map[string]string {
	a := make(map[string]string, 5)
	if part != SilhouetteOnly {
		a["location"] = s.Place
	}
	if part != BackgroundOnly {
		a["object"] = Classes[s.Class]
		a["shape"] = s.Shape // "" but for signs
	}
	if part == Whole {
		a["color"], a["pattern"] = s.Colour, s.Pattern
	}
	return a
}

// PlacePhrases are the wordings in which captions say that something is at one of Places, the plainest first: "in a
// forest", "among trees".
func PlacePhrases(place string) []string { return slices.Clone(placePhrases[place]) }
