package phrases

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed general-words.txt
var generalWords string

// all stands for as many texts as a template gives.
const all = 1 << 30

// generalTemplates are the texts of the general bank: {GROUP} stands for the words of a group of general-words.txt, and
// an article before it becomes a or an. So many texts are made of a template, spread over its words.
var generalTemplates = []struct {
	text string
	most int
}{
	// Animals
	{"a {mammal}", all},
	{"a {bird}", all},
	{"a {water animal}", all},
	{"a {small animal}", all},
	{"a {animal adjective} {mammal}", 90},
	{"a {animal adjective} {small animal}", 35},
	{"a {mammal} {animal action}", 105},
	{"a {bird} {bird action}", 55},
	{"a {water animal} {view}", 20},
	{"the {mammal part} of a {mammal}", 40},
	{"the {bird part} of a {bird}", 30},
	{"a {person} with a {pet}", 30},
	// People
	{"a {person}", all},
	{"a {worker}", all},
	{"a {person adjective} {person}", 75},
	{"a {person} {person action}", 120},
	{"someone {person action}", all},
	{"someone with {look}", all},
	{"a {person} with {look}", 45},
	{"a {body part}", all},
	{"the {body part} of a {person}", 30},
	{"a {worker} at work in a {town place}", 30},
	{"a {clothes}", all},
	{"a {person} wearing a {clothes}", 50},
	{"a {color} {clothes}", 50},
	{"a {relation}", all},
	{"a {relation} in a {landscape}", 20},
	{"a face that shows {emotion}", all},
	{"a picture full of {emotion}", all},
	// Food and drink
	{"a {fruit}", all},
	{"a {vegetable}", all},
	{"a {cake}", all},
	{"{dish}", all},
	{"a plate of {dish}", all},
	{"a {food adjective} {fruit}", 30},
	{"a {food adjective} {vegetable}", 20},
	{"a {vessel} of {drink}", 20},
	{"food from {country}", all},
	// Things
	{"a {object}", all},
	{"a {device}", all},
	{"a {tool}", all},
	{"a {furniture}", all},
	{"a {instrument}", all},
	{"a {object adjective} {object}", 100},
	{"a {object adjective} {device}", 35},
	{"a {object adjective} {furniture}", 20},
	{"a {ware material} {ware}", 75},
	{"a {color} {ware}", 50},
	{"a {color} {object}", 50},
	{"a {object} on a {furniture}", 40},
	{"a {worker} with a {tool}", 20},
	{"a {person} playing a {instrument}", 20},
	{"{plural}", all},
	{"{number} {plural}", 70},
	{"a {arrangement} of {plural}", 45},
	// Vehicles
	{"a {vehicle}", all},
	{"a {vehicle adjective} {vehicle}", 55},
	{"a {vehicle} {road place}", 40},
	// Looks
	{"the color {color}", all},
	{"{color} color", all},
	{"a {color} background", all},
	{"{color} and {color}", 35},
	{"{texture} texture", all},
	{"a {texture} surface", all},
	{"{pattern} pattern", all},
	{"a {pattern} {fabric} cloth", 30},
	{"a {color} and {color} {pattern} pattern", 40},
	{"{shape} shape", all},
	{"a {shape} {ware}", 30},
	{"a {shape} hole", all},
	{"{line}", all},
	{"{material}", all},
	{"something made of {material}", all},
	{"{fabric}", all},
	{"{color} {fabric}", 20},
	// Nature and places
	{"a {plant}", all},
	{"a {flower}", all},
	{"a {color} {flower}", 30},
	{"a {landscape}", all},
	{"a {town place}", all},
	{"a {building}", all},
	{"a {room}", all},
	{"a {landscape} at {time}", 40},
	{"a {town place} at {time}", 35},
	{"a {landscape} in {season}", 30},
	{"a {town place} in {weather}", 35},
	{"a {place adjective} {building}", 40},
	{"a {place adjective} {town place}", 40},
	{"inside a {place adjective} {room}", 30},
	{"a {building} in {country}", 35},
	{"a street in {country}", all},
	{"the flag of {country}", all},
	{"a {sky}", all},
	{"{element}", all},
	{"{weather}", all},
	{"{season}", all},
	// What happens
	{"a {event}", all},
	{"people at a {event}", all},
	{"a game of {sport}", all},
	{"the idea of {concept}", all},
	// Pictures
	{"a {style}", all},
	{"a {style} of a {subject}", 105},
	{"a {subject} {view}", 70},
	{"a {quality} picture", all},
	{"a {quality} photo of a {landscape}", 30},
	{"a picture with {light}", all},
	{"a picture with {composition}", all},
	{"a photo from the {decade}", all},
	{"{writing}", all},
	{"a sign with {writing}", all},
}

// generalBank composes the general bank.
func generalBank() ([]string, error) {
	features, err := ParseFeatures(strings.NewReader(generalWords))
	if err != nil {
		return nil, fmt.Errorf("words of the general bank: %w", err)
	}
	groups := make(map[string][]string)
	for _, f := range features {
		groups[f.Name] = f.Instances
	}
	var b bank
	for _, template := range generalTemplates {
		texts, err := compose(template.text, template.most, groups)
		if err != nil {
			return nil, err
		}
		b.add(texts...)
	}
	return b.list, nil
}

// group is a place for a word in a template, with the article that may stand before it.
var group = regexp.MustCompile(`(\ba )?\{([^}]*)\}`)

// compose fills a template with the given number of combinations of words, or with all if there are fewer. They lie evenly
// among all combinations, each as far from the one before, round and round, so that the words of the first group take
// turns. Of these, one with the same word twice is left out.
func compose(template string, most int, groups map[string][]string) ([]string, error) {
	var places [][]string
	combinations := 1
	for _, match := range group.FindAllStringSubmatch(template, -1) {
		words := groups[match[2]]
		if len(words) == 0 {
			return nil, fmt.Errorf("template %q: there are no words of the group %q", template, match[2])
		}
		places = append(places, words)
		combinations *= len(words)
	}
	step := max(1, combinations*618/1000) // the golden section
	for divisor(step, combinations) != 1 {
		step++
	}
	var texts []string
	for i := range min(most, combinations) {
		rest, place := i*step%combinations, 0
		used := make(map[string]bool)
		text := group.ReplaceAllStringFunc(template, func(match string) string {
			words := places[place]
			word := words[rest%len(words)]
			rest, place = rest/len(words), place+1
			used[word] = true
			if strings.HasPrefix(match, "a ") {
				return withArticle(word)
			}
			return word
		})
		if len(used) == len(places) {
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// divisor is the greatest common divisor.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// withArticle puts a or an before a phrase of the package's words, by their sound.
func withArticle(phrase string) string {
	switch {
	case strings.HasPrefix(phrase, "uni"): // a uniform
	case strings.ContainsRune("aeiouX", rune(phrase[0])): // an X-ray
		return "an " + phrase
	}
	return "a " + phrase
}
