"""Starts the agent: `agent.pyz run ...`, from a checkout `python -m scalebox_hpc.agent run ...`.

Helpers of an agent are started likewise; they load little, because a container waits for them.
"""

import sys

if sys.argv[1:2] == ["runner"]:
    from scalebox_hpc.agent.runner import main
elif sys.argv[1:2] == ["copy"]:
    from scalebox_hpc.agent.image import main
elif sys.argv[1:2] == ["probe"]:
    from scalebox_hpc.agent.look import main
else:
    from scalebox_hpc.agent.main import main

main()
