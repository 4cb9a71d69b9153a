// Package experiments holds the experiments: one file each, from a configuration to a result.
//
// A result is data: every number of the figure or table it stands for, and nothing drawn. It is written to a directory
// together with what made it, and package plots draws it:
//
//	err := experiments.WriteResult("results/ablation", result, experiments.Meta{
//		Experiment:  "ablation",
//		Config:      config,
//		Versions:    experiments.Versions(),
//		Checkpoints: map[string]string{"deit-mini": checkpoint.Hash},
//		Data:        map[string]string{"scenes:1000": hash},
//		Seed:        1,
//		Seconds:     time.Since(began).Seconds(),
//	})
//	table, err := result.Table()
//	err = experiments.WriteTable("results/ablation", table)
//
// The same seed and configuration give the same result.json, but for its field "seconds".
package experiments
