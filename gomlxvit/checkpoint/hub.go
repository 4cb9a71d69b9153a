package checkpoint

import (
	"context"
	"fmt"
	"os"

	"vitdecompose/data/hub"
)

// Hub is where checkpoints named hf:owner/repo come from; see [hub.Hub].
type Hub hub.Hub

// EnvHub is the Hub as the environment variables of huggingface_hub set it; see [hub.Env].
func EnvHub() Hub { return Hub(hub.Env()) }

// Open opens the checkpoint "owner/repo", or "owner/repo@revision" with a branch, tag or commit (default: main). What is
// missing in the cache is downloaded. Sizes and hashes that the Hub gives are compared before anything is used. When
// the server cannot be reached, what the cache has of that revision is used, with a notice.
func (h Hub) Open(ctx context.Context, name string) (*Checkpoint, error) {
	return h.OpenGiven(ctx, name, Given{})
}

// OpenGiven is [Hub.Open] with what the checkpoint does not say itself.
func (h Hub) OpenGiven(ctx context.Context, name string, given Given) (*Checkpoint, error) {
	snapshot, err := hub.Hub(h).Fetch(ctx, hub.Models, name, func(names []string) ([]string, error) {
		files, err := choose(names, "", given.Config != nil)
		switch {
		case err != nil:
		case given.Config != nil:
			files.config = "" // need not be fetched
		case files.config == "":
			err = fmt.Errorf("there is neither %s (timm) nor %s (open_clip); name a configuration with option Config, or the architecture with option Arch", timmConfig, openCLIPConfig)
		}
		return files.names(), err
	})
	if err != nil {
		return nil, err
	}
	c, err := open(os.DirFS(snapshot.Dir), snapshot.Dir, "", given, snapshot)
	if err != nil {
		return nil, err
	}
	c.Ref, c.Dir = "hf:"+name, snapshot.Dir
	return c, nil
}
