"""Brain RDMs as judgments: rsatoolbox and Meadows files, and vectors per region and subject."""

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_judgments():
    return [
        Component(
            name="brain-rdms/rsatoolbox",
            target="perceptinit_brain_rdms.rdm_export:RsatoolboxFile",
            summary="brain RDMs in an rsatoolbox file, by region and subject",
            extra="perceptinit-brain-rdms",
        ),
        Component(
            name="brain-rdms/rdm",
            target="perceptinit_brain_rdms.rdm_export:RdmExport",
            summary="RDMs exported by rsatoolbox (.hdf5) or Meadows (.json, .mat), with image names",
            extra="perceptinit-brain-rdms",
        ),
        Component(
            name="brain-rdms/regions",
            target="perceptinit_brain_rdms.brain_set:Regions",
            summary="brain RDMs in one vector file per region and subject (NOD layout)",
        ),
    ]
