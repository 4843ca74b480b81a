#!/bin/bash
{#- Slurm example of `cryodeco submit`; copy it and fit it to your cluster.
Given: run_cmd, run_dir, name, log, nodes; num_gpu, num_cpu and ram_gb (of each machine); and the
names that cryoSPARC and RELION use for them. All others come from --set NAME=VALUE. #}
#SBATCH --job-name={{ name }}
#SBATCH --nodes={{ nodes }}
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task={{ num_cpu }}
#SBATCH --mem={{ ram_gb }}G
#SBATCH --time={{ time | default("24:00:00") }}
#SBATCH --output={{ log }}
#SBATCH --open-mode=append
{%- if num_gpu %}
#SBATCH --gpus-per-node={{ num_gpu }}
{%- endif %}
{%- if partition is defined %}
#SBATCH --partition={{ partition }}
{%- endif %}
{%- if account is defined %}
#SBATCH --account={{ account }}
{%- endif %}

# A job that was killed or ran out of time goes on where it was when it is submitted again.
{{ run_cmd }}
