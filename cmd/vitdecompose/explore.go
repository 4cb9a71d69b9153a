package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/counted"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit/zoo"
	"vitdecompose/plots/explorer"
)

// explore makes the explorer page, or serves it.
type explore struct {
	c       *cobra.Command
	models  []string
	classes []string
	out     string
	port    int
	options session.Options
	config  experiments.ExploreConfig
}

func newExplore() *cobra.Command {
	var r explore
	c := &cobra.Command{
		Use:   "explore [IMAGE|FOLDER]...",
		Args:  cobra.ArbitraryArgs,
		Short: "Write a page on which the parts of a picture can be looked at",
		Long: `Write one HTML page on which everything that a model's parts do with a picture can be
looked at, with mouse or keyboard: what each head and MLP adds to a class, to a text or to
the representation, from where in the picture, its words, and the pictures of --data to
which it adds most. The page loads nothing and works from the disk.

Without IMAGE, pictures of --data are explored: those of --probes, or with --port any.
--port serves the page for all pictures, on 127.0.0.1 alone, until it is interrupted.`,
		Example: `  vitdecompose explore photo.jpg --model hf:timm/vit_small_patch16_224.augreg_in1k --out page.html
  vitdecompose explore --model clip-mini --probes 3 --text "a red car" --text forest
  vitdecompose explore --model deit-mini,swin-mini --probes 0,7 --out page.html
  vitdecompose explore --model deit-mini --port 8080`,
		RunE: func(c *cobra.Command, args []string) error {
			r.c = c
			if err := r.check(args); err != nil {
				return err
			}
			files, err := data.FilesIn(args)
			if err != nil {
				return err
			}
			return r.run(files)
		},
	}
	c.Flags().StringSliceVar(&r.models, "model", nil, "models to look into, separated by commas: shipped ones, checkpoint directories or hf:owner/repo")
	addOptions(c, &r.options, slices.Concat([]string{"features", "bank"}, session.Classified, session.Read)...)
	c.Flags().StringArrayVar(&r.config.Texts, "text", nil, "a text to ask about; may be given several times")
	c.Flags().StringArrayVar(&r.classes, "class", nil, "a class to ask about beside the best ones, its name or index; may be given several times")
	addOptions(c, &r.config)
	c.Flags().StringVar(&r.out, "out", "", "the page (default: "+filepath.Join("results", "explorer.html")+")")
	c.Flags().IntVar(&r.port, "port", 0, "serve pages on 127.0.0.1 at this port, instead of writing one")
	for name, word := range map[string]string{"model": "MODEL,...", "text": "TEXT", "class": "CLASS", "out": "FILE", "port": "PORT"} {
		takes(c.Flags(), name, word)
	}
	return c
}

// check refuses flags that do not go together.
func (r *explore) check(args []string) error {
	switch changed := r.c.Flags().Changed; {
	case len(r.models) == 0:
		return usagef("--model is missing: a shipped model, a checkpoint directory or hf:owner/repo")
	case changed("port") && (r.port < 1 || r.port > 65535):
		return usagef("--port %d is not a port: 1 to 65535", r.port)
	case changed("port") && changed("out"):
		return usagef("--out is not used with --port, which writes no page")
	case changed("probes") && (changed("port") || len(args) > 0):
		return usagef("--probes chooses pictures of --data for a page; it is not used with --port or with files")
	case len(args) == 0 && !changed("data") && !r.shipped():
		return usagef("name a picture, a folder, or pictures with --data; drawn scenes are there for the shipped models")
	}
	return (&runner{models: r.models, options: r.options}).check()
}

// shipped reports whether all models are, which have drawn scenes as their data.
func (r *explore) shipped() bool {
	return !slices.ContainsFunc(r.models, func(name string) bool { return !zoo.Has(name) })
}

// open opens a session for each model, on the pictures of --data, or on those of the files alone.
func (r *explore) open(ctx context.Context, files data.Files) (all []*session.Session, closeAll func(), err error) {
	if r.c.Flags().Changed("data") || r.shipped() {
		sessions, err := session.Several(ctx, r.options)
		if err != nil {
			return nil, nil, err
		}
		all, err = sessions.All(ctx, r.models)
		return all, sessions.Close, err
	}
	r.config.Alone = true
	closeAll = func() {
		for _, s := range all {
			s.Close()
		}
	}
	for i, short := range session.ShortNames(r.models) {
		options := r.options
		options.Model = r.models[i]
		s, err := session.With(ctx, options, session.Given{Data: files})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		s.Name = short
		all = append(all, s)
	}
	return all, closeAll, nil
}

func (r *explore) run(files data.Files) error {
	ctx := r.c.Context()
	if r.out == "" {
		r.out = filepath.Join("results", "explorer.html")
	}
	var listener net.Listener
	if r.port > 0 {
		var err error
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))); err != nil {
			return fmt.Errorf("--port: %w", err)
		}
		defer listener.Close()
	} else if err := os.MkdirAll(filepath.Dir(r.out), 0o777); err != nil {
		return fmt.Errorf("--out: %w", err)
	} else if err := checkWritable(r.out); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	listen(r.c, &r.options)
	all, closeAll, err := r.open(ctx, files)
	if err != nil {
		return usage(err)
	}
	if err := unneeded(r.c, all, ""); err != nil {
		return err
	}
	server := &explorer.Server{Pictures: all[0].Pictures()}
	if len(files) > 0 {
		r.config.Over = files
		server.Pictures.Dataset = files
		if r.config.Pictures = positions(files); listener != nil {
			r.config.Pictures = nil
		}
	}
	if !r.config.Alone {
		server.Data = all[0].Pictures()
	}
	for _, s := range all {
		config := r.config
		if config.Also, err = r.also(ctx, s); err != nil {
			return usage(err)
		}
		e, err := experiments.NewExplorer(ctx, s, config)
		if err != nil {
			return usage(err)
		}
		view := s.View()
		view.Data = server.Pictures.Dataset
		server.Explorers, server.Views = append(server.Explorers, e), append(server.Views, view)
		for _, line := range e.About().Missing {
			fmt.Fprintf(r.c.OutOrStdout(), "left out of %s: %s\n", s.Name, named(line))
		}
		for _, line := range s.Assumptions() {
			if line = named(line); !slices.Contains(server.Notes, line) {
				server.Notes = append(server.Notes, line)
			}
		}
	}
	// What still computes when the server ends must not lose its model under way; the process ends with it.
	defer func() {
		if server.Idle() {
			for _, e := range server.Explorers {
				e.Close()
			}
			closeAll()
		}
	}()
	if listener != nil {
		fmt.Fprintf(r.c.OutOrStdout(), "http://%s shows %s; Ctrl-C ends it\n", listener.Addr(), counted.Of(server.Pictures.Len(), "picture"))
		return server.Serve(ctx, listener)
	}
	return r.write(ctx, server)
}

// also are the classes that are named for a model.
func (r *explore) also(ctx context.Context, s *session.Session) (classes []int, err error) {
	if len(r.classes) == 0 {
		return nil, nil
	}
	model, err := s.Classifier(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range r.classes {
		class, err := classIndex(name, model.ClassNames, model.Arch.NumClasses())
		if err != nil {
			return nil, err
		}
		classes = append(classes, class)
	}
	return classes, nil
}

// write writes the page.
func (r *explore) write(ctx context.Context, server *explorer.Server) error {
	if err := server.Write(ctx, r.out, r.config.Pictures); err != nil {
		return err
	}
	info, err := os.Stat(r.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.c.OutOrStdout(), "wrote %s, %.1f MB\n", r.out, float64(info.Size())/1e6)
	return nil
}
