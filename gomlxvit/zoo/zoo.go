// Package zoo holds the small trained models that ship with the project, and how
// they were trained. They see 64 x 64 pictures of the drawn world
// (vitdecompose/data/scenes) and are checkpoints like anybody's: configuration
// and tensors are laid out as timm has them, so that timm loads them too.
//
//	ckpt, err := zoo.Open("deit-mini")
//	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
//
// [Train] makes them again.
package zoo

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"vitdecompose/gomlxvit/checkpoint"
)

//go:embed deit-mini clip-mini clip-ref-mini dino-mini dinov2-mini swin-mini maxvit-mini
var files embed.FS

// recipes are how the models are made, in the order in which they are listed. A
// recipe is made only when it is used: a CLIP's learns a vocabulary.
var recipes = []struct {
	name string
	make func() Recipe
}{
	{"deit-mini", deitMini},
	{"clip-mini", clipMini},
	{Reference, clipRefMini},
	{"dino-mini", dinoMini},
	{"dinov2-mini", dinov2Mini},
	{"swin-mini", swinMini},
	{"maxvit-mini", maxvitMini},
}

// Names lists the models.
func Names() []string {
	var names []string
	for _, recipe := range recipes {
		names = append(names, recipe.name)
	}
	return names
}

// Studied lists the models that experiments are about: all that ship but the one
// whose space the others are mapped into.
func Studied() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return name == Reference || !Has(name) })
}

// Reference is the CLIP into whose space other models' contributions are mapped.
const Reference = "clip-ref-mini"

// Has tells whether a model with this name ships with the project.
func Has(name string) bool {
	_, err := fs.Stat(files, name+"/"+modelFile)
	return err == nil && !strings.Contains(name, "/")
}

// Open opens the checkpoint of a model.
func Open(name string) (*checkpoint.Checkpoint, error) {
	if !Has(name) {
		return nil, fmt.Errorf("the zoo has no model %q (it has %s)", name, strings.Join(Names(), ", "))
	}
	dir, err := fs.Sub(files, name)
	if err != nil {
		return nil, fmt.Errorf("zoo %s: %w", name, err)
	}
	return checkpoint.OpenFS(dir, name)
}

// Recipes lists how the models are made.
func Recipes() []Recipe {
	var all []Recipe
	for _, recipe := range recipes {
		all = append(all, recipe.make())
	}
	return all
}
