package phrases_test

import (
	"fmt"
	"log"
	"strings"

	"vitdecompose/data"
	"vitdecompose/data/scenes"
	"vitdecompose/decompose/phrases"
)

func ExampleParseFeatures() {
	features, err := phrases.ParseFeatures(strings.NewReader(`
# my features
color: blue color, green color, red color
location: beach, forest, city
`))
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range features {
		fmt.Printf("%s is one of %q\n", f.Name, f.Instances)
	}
	_, err = phrases.ParseFeatures(strings.NewReader("color: blue, red, blue"))
	fmt.Println(err)
	// Output:
	// color is one of ["blue color" "green color" "red color"]
	// location is one of ["beach" "forest" "city"]
	// line 1: the feature "color" has the instance "blue" twice
}

// The instances that a picture shows.
func ExampleValue() {
	features, err := phrases.OpenFeatures("scenes") // or the path of a file
	if err != nil {
		log.Fatal(err)
	}
	ds := scenes.New(7, 1)
	fmt.Println(scenes.Caption(7, 0))
	for _, f := range features {
		for _, instance := range f.Instances {
			if data.Attributes(ds, 0)[f.Name] == phrases.Value(f.Name, instance) {
				fmt.Println(f.Name, "is", instance)
			}
		}
	}
	// Output:
	// a drawing of a white finch with bamboo leaves behind it
	// color is white color
	// location is bamboo
	// pattern is plain pattern
	// object is finch
}

func ExampleBank() {
	for _, name := range phrases.Banks() {
		texts, err := phrases.Bank(name)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s has %d texts, such as %q and %q\n", name, len(texts), texts[len(texts)/2], texts[len(texts)-1])
	}
	// Output:
	// scenes has 526 texts, such as "a checkered fruit" and "a sign in a city"
	// general has 3553 texts, such as "a crimson gate" and "a sign with a signature"
}
