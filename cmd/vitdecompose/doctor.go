package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"vitdecompose/experiments"
	"vitdecompose/gomlxvit/backend"
)

func newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show what computes, what is cached, and what is missing",
		Long: `Show the backend and its devices, the XLA plugin and whether its hash is right,
the caches and their sizes, versions, cores and memory, and what to do about what
is missing. The exit code is 1 when the backend does not open.`,
		Example: `  vitdecompose doctor
  GOMLX_BACKEND=xla:cuda vitdecompose doctor`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := backend.Facts(caches()...)
			r.Versions = experiments.Versions()
			if err := r.Print(c.OutOrStdout()); err != nil {
				return err
			}
			return r.Problem
		},
	}
}

// caches are the directories beside the plugin's that fill up.
func caches() []backend.Cache {
	var found []backend.Cache
	if dir, err := os.UserCacheDir(); err == nil {
		found = append(found, backend.Cache{Name: "contributions", Dir: filepath.Join(dir, "vitdecompose", "contributions")})
	}
	if dir := hubCache(); dir != "" {
		found = append(found, backend.Cache{Name: "Hugging Face hub", Dir: dir})
	}
	return found
}

// hubCache is where the Hub's clients keep what they fetched.
func hubCache() string {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub")
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface", "hub")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "huggingface", "hub")
}
