package phrases

import "vitdecompose/data/scenes"

// scenesBank says what scenes show, in words and turns of their captions.
func scenesBank() []string {
	var b bank
	// Words.
	b.add(scenes.Classes...)
	b.add(sceneKinds()...)
	for _, list := range [][]string{scenes.Colours, scenes.Patterns, scenes.Places, scenes.Shapes} {
		b.add(list...)
	}
	// One property.
	for _, colour := range scenes.Colours {
		b.add(colour + " color")
	}
	for _, pattern := range scenes.Patterns {
		b.add(pattern+" pattern", "with "+withArticle(pattern)+" pattern")
	}
	for _, shape := range scenes.Shapes {
		b.add(shape+" shape", withArticle(shape)+" shape", withArticle(shape)+" sign")
	}
	for _, place := range scenes.Places {
		b.add(scenes.PlacePhrases(place)...)
	}
	for _, noun := range append(sceneKinds(), scenes.Classes...) {
		b.add(withArticle(noun), "a photo of "+withArticle(noun))
	}
	for class, noun := range scenes.Classes {
		if kind, said := sceneKind(class); said {
			b.add(withArticle(noun) + " which is " + withArticle(kind))
		}
	}
	// Two properties.
	for _, colour := range scenes.Colours {
		for _, pattern := range scenes.Patterns {
			b.add(pattern + " " + colour)
		}
	}
	for _, noun := range append(sceneKinds(), scenes.Classes...) {
		for _, colour := range scenes.Colours {
			b.add(withArticle(colour + " " + noun))
		}
		for _, pattern := range scenes.Patterns {
			b.add(withArticle(pattern + " " + noun))
		}
		for _, place := range scenes.Places {
			b.add(withArticle(noun) + " " + scenes.PlacePhrases(place)[0])
		}
	}
	return b.list
}

// sceneKind is the wider word that captions say for a class. For a sign they say its shape instead.
func sceneKind(class int) (kind string, said bool) {
	return scenes.Kind(class), scenes.Classes[class] != "sign"
}

// sceneKinds are the wider words of captions, each once.
func sceneKinds() []string {
	var b bank
	for class := range scenes.Classes {
		if kind, said := sceneKind(class); said {
			b.add(kind)
		}
	}
	return b.list
}
