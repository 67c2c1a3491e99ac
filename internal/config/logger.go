package config

import (
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger makes the logger that a node logs with, to standard error.
func (c LogConfig) NewLogger() (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	z := zap.NewProductionConfig()
	if c.Format == "console" {
		z = zap.NewDevelopmentConfig()
		z.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	}
	z.Level = zap.NewAtomicLevelAt(level)
	// A flood of one line must not hide the others, but nothing rare is dropped.
	z.Sampling = &zap.SamplingConfig{Initial: 100, Thereafter: 1000}
	z.DisableCaller, z.DisableStacktrace = true, true
	z.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	if c.Format == "json" {
		z.EncoderConfig.TimeKey = "time"
		z.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	}
	logger, err := z.Build()
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return logger, nil
}
