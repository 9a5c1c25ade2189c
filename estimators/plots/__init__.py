"""Pictures of models and fits.

Read `plots`: what a fit draws, each picture in a file of its own (`density`, `effect`, `profiles`, ...), and `compare`:
several fits side by side. They know a fit by what `fitted` says of it, the law of a row by `laws`, and all look as
`style` says. `graph` is the causal graph of a mixture, drawn from causes to effects.
"""
