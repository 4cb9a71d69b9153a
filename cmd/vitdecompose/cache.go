package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vitdecompose/data/counted"
	"vitdecompose/experiments/cache"
)

// newCache looks after what was decomposed and is kept on disk.
func newCache() *cobra.Command {
	c := &cobra.Command{
		Use:   "cache (list|verify|prune|export)",
		Short: "Manage the decomposed pictures that are kept on disk",
		Long: `Manage the decomposed pictures that are kept on disk.

Every experiment keeps what it decomposes, so that a second run, or one that was
interrupted, does not compute it again. A store is what one model made of one data set;
the beginning of its hash names it.`,
		Example: `  vitdecompose cache list
  vitdecompose cache verify
  vitdecompose cache prune --unused 720h
  vitdecompose cache export 3fa9c1 --out contributions`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to do: list, verify, prune or export")
			}
			return usagef("%q is not one of list, verify, prune, export", args[0])
		},
	}
	var dir string
	c.PersistentFlags().StringVar(&dir, "cache", "", "the cache's directory (default: the user's cache directory)")
	takes(c.PersistentFlags(), "cache", "DIR")
	stores := func() ([]cache.Entry, error) {
		if dir == "" {
			var err error
			if dir, err = cache.Dir(); err != nil {
				return nil, err
			}
		}
		return cache.List(dir)
	}
	c.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the stores", Example: "  vitdecompose cache list", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				entries, err := stores()
				if err != nil {
					return err
				}
				return listStores(c, entries)
			},
		},
		&cobra.Command{
			Use: "verify [STORE...]", Short: "Read and check all files of stores", Example: "  vitdecompose cache verify 3fa9c1", Args: cobra.ArbitraryArgs,
			RunE: func(c *cobra.Command, args []string) error {
				entries, err := stores()
				if err != nil {
					return err
				}
				return verifyStores(c, entries, args)
			},
		},
		newCachePrune(&dir),
		newCacheExport(stores),
	)
	return c
}

// shortHash is as much of a hash as names a store.
func shortHash(hash string) string { return hash[:12] }

func listStores(c *cobra.Command, entries []cache.Entry) error {
	out := c.OutOrStdout()
	if len(entries) == 0 {
		_, err := fmt.Fprintln(out, "there are no stores")
		return err
	}
	fmt.Fprintf(out, "%-12s  %-8s  %8s  %-22s  %9s  %s\n", "store", "state", "pictures", "split", "size", "last used")
	total := int64(0)
	for _, e := range entries {
		state := "whole"
		if !e.Complete {
			state = "in part"
		}
		fmt.Fprintf(out, "%-12s  %-8s  %8d  %-22s  %6.1f MB  %s\n", shortHash(e.Hash), state, e.Key.Pictures,
			strings.TrimSpace(e.Key.Split+" "+e.Key.Blocks), float64(e.Bytes)/1e6, e.Used.Format("2006-01-02 15:04"))
		total += e.Bytes
	}
	_, err := fmt.Fprintf(out, "%s, %.1f MB\n", counted.Of(len(entries), "store"), float64(total)/1e6)
	return err
}

// find picks the stores whose hashes begin so; all for none.
func find(entries []cache.Entry, beginnings []string) ([]cache.Entry, error) {
	if len(beginnings) == 0 {
		return entries, nil
	}
	var found []cache.Entry
	for _, beginning := range beginnings {
		matches := 0
		for _, e := range entries {
			if strings.HasPrefix(e.Hash, beginning) {
				found = append(found, e)
				matches++
			}
		}
		switch {
		case matches == 0 || beginning == "":
			return nil, fmt.Errorf("no store's hash begins with %q; `vitdecompose cache list` lists them", beginning)
		case matches > 1:
			return nil, fmt.Errorf("the hashes of %d stores begin with %q; give more characters", matches, beginning)
		}
	}
	return found, nil
}

func verifyStores(c *cobra.Command, entries []cache.Entry, args []string) error {
	chosen, err := find(entries, args)
	if err != nil {
		return err
	}
	bad := 0
	for _, e := range chosen {
		if err := c.Context().Err(); err != nil {
			return err
		}
		wrong := e.Verify()
		state := "good"
		if len(wrong) > 0 {
			state = fmt.Sprintf("%d files are wrong", len(wrong))
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %d files, %s\n", shortHash(e.Hash), e.Chunks, state)
		for _, err := range wrong {
			fmt.Fprintln(c.OutOrStdout(), "  "+oneLine(err.Error()))
		}
		bad += len(wrong)
	}
	if bad > 0 {
		return fmt.Errorf("%d files are wrong; the next runs that need them compute them again", bad)
	}
	return nil
}

func newCachePrune(dir *string) *cobra.Command {
	var unused time.Duration
	c := &cobra.Command{
		Use: "prune", Short: "Remove the stores that were not used for long", Example: "  vitdecompose cache prune --unused 720h", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if unused < 0 {
				return usagef("--unused must not be negative")
			}
			if *dir == "" {
				var err error
				if *dir, err = cache.Dir(); err != nil {
					return err
				}
			}
			removed, err := cache.Prune(*dir, unused)
			freed := int64(0)
			for _, e := range removed {
				fmt.Fprintf(c.OutOrStdout(), "removed %s, last used %s\n", shortHash(e.Hash), e.Used.Format("2006-01-02 15:04"))
				freed += e.Bytes
			}
			fmt.Fprintf(c.OutOrStdout(), "%s removed, %.1f MB\n", counted.Of(len(removed), "store"), float64(freed)/1e6)
			return err
		},
	}
	c.Flags().DurationVar(&unused, "unused", 30*24*time.Hour, "remove those that no run has used for that long")
	takes(c.Flags(), "unused", "TIME")
	return c
}

func newCacheExport(stores func() ([]cache.Entry, error)) *cobra.Command {
	var out, format string
	c := &cobra.Command{
		Use: "export STORE", Short: "Write a store as NumPy arrays or Parquet files", Args: cobra.ExactArgs(1),
		Long: `Write a store for other programs.

--format numpy writes arrays: contributions.npy [picture, component, dim],
representation.npy, logits.npy and index.npy.

--format parquet writes two tables, each a directory of files that pandas, polars and
DuckDB read as one: contributions (index, component, contribution), a row for each picture
and component, and pictures (index, representation, logits), a row for each picture.

The index is a picture's position in the data. The components' names are in components.json,
which is written last: if it is there, the export is complete. An earlier export in --out is
removed.`,
		Example: `  vitdecompose cache export 3fa9c1 --out contributions
  vitdecompose cache export 3fa9c1 --format parquet --out tables
  python3 -c 'import pandas; print(pandas.read_parquet("tables/contributions"))'`,
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usagef("--out is missing: the directory to write to")
			}
			export, written := (*cache.Store).ExportNumPy, cache.ContributionsNPY
			switch format {
			case "numpy":
			case "parquet":
				export, written = (*cache.Store).ExportParquet, cache.ContributionsTable
			default:
				return usagef("--format %q is not one of numpy, parquet", format)
			}
			entries, err := stores()
			if err != nil {
				return err
			}
			chosen, err := find(entries, args)
			if err != nil {
				return err
			}
			store, err := chosen[0].Open()
			if err != nil {
				return err
			}
			defer store.Close()
			if err := os.MkdirAll(out, 0o777); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			if err := export(store, out); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "wrote %s, %s beside it\n", filepath.Join(out, written), cache.ComponentsJSON)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "directory to write to")
	takes(c.Flags(), "out", "DIR")
	c.Flags().StringVar(&format, "format", "numpy", "numpy or parquet")
	takes(c.Flags(), "format", "numpy|parquet")
	return c
}
