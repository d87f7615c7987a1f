"""Builds on this machine: a clean copy, its commands, how far they reach, and what they leave."""
