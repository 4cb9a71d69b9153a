// Package experiments holds the experiments, one file each: from a session and a configuration to a result.
//
//	s, err := session.Open(ctx, session.Options{Model: "deit-mini", Data: "scenes:1000"})
//	curve, err := experiments.Ablation(ctx, s, experiments.AblationConfig{})
//
// A result is data: every number of the figure or table it stands for, and nothing drawn. Package plots draws it. [All] lists
// the experiments with what each needs and what is to be said of it; [Experiment.Run] runs one with several models:
//
//	e, err := experiments.Find("ranking")
//	outcome, err := e.Run(ctx, sessions, e.NewConfig(), nil)
//	table := outcome.Result.Table()
//
// The same seed and configuration give the same result.
package experiments
