package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"pushgate/internal/config"
	"pushgate/internal/kafka"
)

// defaultPartitions of topics that are created: Kafka can add partitions later
// but not take them away.
const defaultPartitions = 24

// topicFlags are those of all commands about topics.
type topicFlags struct {
	partitions  int32
	replication int16
}

func (p *program) topicsCommand() *cobra.Command {
	group := p.group("topics", "The platform's topics: what is missing or wrong, and mend it")
	group.AddCommand(
		p.topicsVerb("plan", "Show what apply would change", p.planTopics),
		p.topicsVerb("apply", "Create the topics, add partitions, change settings; takes nothing away", p.applyTopics),
		p.topicsVerb("check", "Verify the topics as a node does at its start; exit 1 if it would refuse to run", p.checkTopics),
	)
	return group
}

func (p *program) topicsVerb(use, short string, do func(context.Context, *kafka.Cluster, []kafka.TopicSpec) error) *cobra.Command {
	var flags topicFlags
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	cmd.Flags().Int32Var(&flags.partitions, "partitions", 0, fmt.Sprintf("partitions of each topic (default: as many as the request topic has, %d if there is none)", defaultPartitions))
	cmd.Flags().Int16Var(&flags.replication, "replication", 0, "replication factor of topics that are created (default: the number of brokers, at most 3)")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		if flags.partitions < 0 || flags.replication < 0 {
			return &usageError{"--partitions and --replication must not be negative"}
		}
		cluster, c, err := p.open(cmd.Context())
		if err != nil {
			return err
		}
		defer func() { _ = cluster.Close() }()
		specs, err := flags.specs(cmd.Context(), cluster, c)
		if err != nil {
			return err
		}
		return do(cmd.Context(), cluster, specs)
	})
	return cmd
}

func (f topicFlags) specs(ctx context.Context, cluster *kafka.Cluster, c config.Config) ([]kafka.TopicSpec, error) {
	partitions := f.partitions
	if partitions == 0 {
		present, err := cluster.PresentPartitions(ctx, c.Kafka.Topics.Requests)
		if err != nil {
			return nil, err
		}
		partitions = present
	}
	if partitions == 0 {
		partitions = defaultPartitions
	}
	replication := f.replication
	if replication == 0 {
		var err error
		if replication, err = cluster.DefaultReplication(ctx); err != nil {
			return nil, err
		}
	}
	return c.Kafka.TopicSpecs(partitions, replication, c.Message.MaxBytes), nil
}

func (p *program) planTopics(ctx context.Context, cluster *kafka.Cluster, specs []kafka.TopicSpec) error {
	differences, err := cluster.PlanTopics(ctx, specs)
	if err != nil {
		return err
	}
	return p.listDifferences(differences)
}

func (p *program) listDifferences(differences []kafka.TopicDifference) error {
	if len(differences) == 0 && p.output == outputTable {
		_, err := fmt.Fprintln(p.Out, "the topics are as they should be")
		return wrapWrite(err)
	}
	list, err := p.newListing("TOPIC", "WHAT", "IS", "SHOULD BE", "SEVERITY", "REMEDY")
	if err != nil {
		return err
	}
	for _, d := range differences {
		if err := list.row(d, d.Topic, d.What, d.Is, d.Should, d.Severity, d.Remedy); err != nil {
			return err
		}
	}
	return list.end()
}

func (p *program) applyTopics(ctx context.Context, cluster *kafka.Cluster, specs []kafka.TopicSpec) error {
	before, err := cluster.PlanTopics(ctx, specs)
	if err != nil {
		return err
	}
	if present, err := cluster.PresentPartitions(ctx, specs[0].Name); err != nil {
		return err
	} else if present > specs[0].Partitions {
		return &usageError{fmt.Sprintf("--partitions %d: %s has %d, and partitions cannot be taken away", specs[0].Partitions, specs[0].Name, present)}
	}
	if err := cluster.ApplyTopics(ctx, specs); err != nil {
		return err
	}
	before = slices.DeleteFunc(before, func(d kafka.TopicDifference) bool { return d.What == kafka.WhatReplicas })
	if p.output == outputTable {
		if _, err := fmt.Fprintf(p.Out, "%d topics, %d partitions each (%s: 1); changed: %d\n", len(specs), specs[0].Partitions, specs[len(specs)-1].Name, len(before)); err != nil {
			return wrapWrite(err)
		}
		return nil
	}
	return p.listDifferences(before)
}

func (p *program) checkTopics(ctx context.Context, cluster *kafka.Cluster, specs []kafka.TopicSpec) error {
	differences, err := cluster.PlanTopics(ctx, specs)
	if err != nil {
		return err
	}
	if err := p.listDifferences(differences); err != nil {
		return err
	}
	for _, d := range differences {
		if d.Severity == kafka.Problem {
			return &silentError{}
		}
	}
	return nil
}
