package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vitdecompose/data"
	"vitdecompose/decompose/phrases"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
)

// completions are the values that a shell offers for flags, by the flags' names. Where a path may stand too, the shell offers
// files as soon as none of the words fits.
var completions = map[string]func() []string{
	"model":     zoo.Names,
	"reference": zoo.Names,
	"arch":      gomlxvit.Names,
	"bank":      phrases.Banks,
	"features":  phrases.FeatureLists,
	"width":     func() []string { return []string{"column", "page"} },
	"device":    func() []string { return []string{"cpu", "cuda", "tpu"} },
	"sees":      func() []string { return []string{"background", "silhouette"} },
	"format":    func() []string { return []string{"numpy", "parquet"} },
}

// complete has the shell's completion know what the flags of a command and of those below it take.
func complete(c *cobra.Command) error {
	var errs error
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		words := completions[f.Name]
		value, ok := f.Value.(*flagValue)
		switch {
		case takesPictures(f):
			words = pictureKinds
		case ok && value.options[0].Words() != nil:
			words = value.options[0].Words
		}
		if words == nil || errs != nil {
			return
		}
		if _, known := c.GetFlagCompletionFunc(f.Name); known { // a flag that commands below inherit
			return
		}
		errs = c.RegisterFlagCompletionFunc(f.Name, func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return offer(words(), begun)
		})
	})
	for _, below := range c.Commands() {
		if errs == nil {
			errs = complete(below)
		}
	}
	return errs
}

// offer is what a shell offers for a word that was begun, the last of a list where it has commas.
func offer(words []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	before := begun[:strings.LastIndexByte(begun, ',')+1]
	var offered []cobra.Completion
	directive := cobra.ShellCompDirectiveDefault
	for _, word := range words {
		if strings.HasPrefix(before+word, begun) {
			offered = append(offered, before+word)
			if strings.HasSuffix(word, ":") {
				directive |= cobra.ShellCompDirectiveNoSpace
			}
		}
	}
	return offered, directive
}

// pictureKinds are the beginnings of the names of data sets.
func pictureKinds() []string {
	var kinds []string
	for _, kind := range data.Kinds() {
		if kind.Help != "" {
			kinds = append(kinds, kind.Name+":")
		}
	}
	slices.Sort(kinds)
	return kinds
}
