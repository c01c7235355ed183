"""The commands and their options. Each imports what it does when it is called, so that --help answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matscout.cli import model_app, queue_app
from matscout.cli.options import CampaignFile, JsonFlag, StoreOption
from matscout.cli.workers import workers

app = typer.Typer(
    name="matscout",
    help="From a chemical search space to a ranked, reproducible list of new stable crystals.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: 0 done, 2 a mistake you can put right, 130 stopped by Ctrl-C.",
)

ReferencesOption = Annotated[
    Path | None, typer.Option("--references", help="Reference file, in place of references.path of the campaign.")
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="KEY=VALUE", help="Change a setting of the protocol; may be given again."),
]


def _show_version(wanted: bool) -> None:  # noqa: FBT001  Typer calls it so
    if wanted:
        from matscout import __version__

        typer.echo(f"matscout {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a chemical search space to a ranked, reproducible list of new stable crystals."""


@app.command(epilog="Example: matscout init perovskites && matscout validate perovskites.yaml")
def init(
    name: Annotated[str, typer.Argument(help="Name of the campaign; the file is NAME.yaml.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Write a commented campaign file to start from."""
    from matscout.cli.files import write_template

    write_template(name, force=force)


@app.command(epilog="Example: matscout validate perovskites.yaml")
def validate(
    file: CampaignFile = None,
    *,
    references: ReferencesOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of campaign files.")] = False,
) -> None:
    """Check a campaign: candidates per filter, reference calculations, an estimate of the cost. Calculates nothing."""
    from matscout.cli import validation

    if schema:
        validation.print_schema()
    else:
        validation.validate(file, references, store, as_json=as_json)


@app.command(epilog="Example: matscout run perovskites.yaml   (Ctrl-C stops cleanly; the same command goes on)")
def run(
    file: CampaignFile = None,
    *,
    references: ReferencesOption = None,
    store: StoreOption = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder for results; ./NAME if left out.")] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Then calculate all that is left, and print the true enrichment.")
    ] = False,
) -> None:
    """Run a campaign, or go on where it stopped."""
    from matscout.cli.running import run_campaign

    run_campaign(file, references, store, output, exhaustive=exhaustive)


@app.command(epilog="Example: matscout status --json")
def status(file: CampaignFile = None, *, store: StoreOption = None, as_json: JsonFlag = False) -> None:
    """Show how far the campaigns of a store are."""
    from matscout.cli.listings import show_status

    show_status(file, store, as_json=as_json)


@app.command(epilog="Example: matscout results perovskites.yaml --cif stable/")
def results(
    file: CampaignFile = None,
    *,
    store: StoreOption = None,
    as_json: JsonFlag = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write all rows to this Parquet file.")] = None,
    cif: Annotated[Path | None, typer.Option("--cif", help="Write the crystals found into this folder.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows of the table.")] = 25,
) -> None:
    """List what was calculated, nearest to the hull first."""
    from matscout.cli.listings import show_results

    show_results(file, store, as_json=as_json, as_csv=as_csv, parquet=parquet, cif=cif, limit=limit)


@app.command(epilog="Example: matscout explain CsCaF3")
def explain(
    candidate: Annotated[str, typer.Argument(help="Formula, or the first characters of a candidate's id.")],
    file: CampaignFile = None,
    *,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell a candidate's whole story: prediction, why it was chosen, calculation, distance to the hull."""
    from matscout.cli.story import tell

    tell(candidate, file, store, as_json=as_json)


@app.command(epilog="Examples: matscout prototypes --search perovskite; matscout prototypes my.cif")
def prototypes(
    name: Annotated[
        str | None, typer.Argument(help="A prototype, or a CIF or POSCAR as one, to show in full.", show_default=False)
    ] = None,
    *,
    search: Annotated[str, typer.Option("--search", help="Part of a name, label or mineral, or a pattern.")] = "*",
    space_group: Annotated[
        int | None, typer.Option("--space-group", min=1, max=230, help="Only those of this space group.")
    ] = None,
    n_roles: Annotated[int | None, typer.Option("--roles", min=1, help="Only those with so many roles.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the prototypes that can be decorated, or show one."""
    from matscout.cli.prototypes import list_prototypes, show_prototype

    if name is not None:
        show_prototype(name, as_json=as_json)
    else:
        list_prototypes(search, space_group, n_roles, as_json=as_json)


@app.command(epilog="Examples: matscout protocols; matscout protocols gpaw-pbe --override cutoff_eV=500")
def protocols(
    name: Annotated[str | None, typer.Argument(help="A protocol to show in full.", show_default=False)] = None,
    *,
    override: OverrideOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List the protocols, or show one with all its settings."""
    from matscout.cli.protocols import list_protocols, show_protocol

    if name is not None:
        show_protocol(name, override or (), as_json=as_json)
    else:
        list_protocols(as_json=as_json)


@app.command(
    epilog="Examples: matscout inputs NaCl.cif --protocol vasp-mp-gga -o NaCl; matscout inputs CsCaF3 -o CsCaF3 "
    "--protocol gpaw-pbe --override cutoff_eV=500"
)
def inputs(
    given: Annotated[
        str,
        typer.Argument(
            metavar="CANDIDATE|FILE", help="Formula or id of a candidate of the campaign, or a CIF or POSCAR."
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")],
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Protocol; a candidate's campaign has its own.")
    ] = None,
    override: OverrideOption = None,
    campaign: Annotated[
        Path | None, typer.Option("--campaign", help="Campaign file of the candidate; the only one here if left out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the input files of a calculation, without running it."""
    from matscout.cli.protocols import write_inputs

    write_inputs(given, protocol, output, override or (), campaign, as_json=as_json)


@app.command(
    epilog="Examples: matscout hull Li-Fe-P-O --entries entries.json.gz --plot hull.html; "
    "matscout hull Cs-Ca-F (of the campaign here); matscout hull Li-Fe-P-O --entries entries.json.gz --open O --mu -5"
)
def hull(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="Chemical system, such as Li-Fe-P-O.")],
    *,
    entries: Annotated[
        Path | None, typer.Option("--entries", help="File of pymatgen entries (JSON or CSV, gzipped or not).")
    ] = None,
    campaign: Annotated[
        str | None,
        typer.Option("--campaign", help="Without --entries: campaign file, or a campaign's name in the store."),
    ] = None,
    store: StoreOption = None,
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="Correction scheme of the file's entries; none if left out.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", help="Show the hull before and after this correction scheme.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Free energies at so many K, 300 to 2000.")
    ] = None,
    opened: Annotated[
        list[str] | None,
        typer.Option("--open", metavar="ELEMENT", help="Element exchanged with a reservoir; may be given again."),
    ] = None,
    mu: Annotated[
        list[float] | None,
        typer.Option(
            "--mu", help="Its chemical potential, eV/atom, on the scale of the energies; one for each --open."
        ),
    ] = None,
    delta_mu: Annotated[
        list[float] | None,
        typer.Option("--delta-mu", help="The same relative to the element: 0 is the element itself."),
    ] = None,
    decompose: Annotated[
        str | None,
        typer.Option("--decompose", metavar="FORMULA|ID", help="Show what this composition decomposes to."),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(
            "--phase", metavar="FORMULA|ID", help="Show at which chemical potentials, and beside what, it is stable."
        ),
    ] = None,
    window: Annotated[
        float | None, typer.Option("--window", help="List entries so near to the hull, eV/atom; 0.025 if left out.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List every entry.")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the hull into this .html or .json file.")] = None,
    potentials: Annotated[
        Path | None,
        typer.Option("--potentials", help="Draw the chemical potentials of 2 or 3 elements into this file."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a convex hull: which phases are stable, how far others are from it, and what they decompose to."""
    from matscout.cli.hull import HullRequest, show_hull

    show_hull(
        HullRequest(
            system=system,
            entries=entries,
            campaign=campaign,
            store=store,
            opened=tuple(opened or ()),
            mu=tuple(mu or ()),
            delta_mu=tuple(delta_mu or ()),
            temperature=temperature,
            scheme=scheme,
            compare=compare,
            window=window,
            decompose=decompose,
            phase=phase,
            plot=plot,
            potentials=potentials,
            everything=everything,
            as_json=as_json,
        )
    )


@app.command(
    epilog="Examples: matscout featurize formulas.csv -o features.parquet; "
    "matscout featurize cifs/ -o features.parquet --features voronoi,soap --dask local; matscout featurize --list"
)
def featurize(
    given: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            help="Formulas (CSV, Parquet, text, - for standard input), crystals (a file or a folder of them), a "
            "candidate table, a campaign file, or a store.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Parquet file to write.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option("--features", metavar="NAME,...", help="Feature sets; magpie, and sites for crystals, if none."),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="Column of formulas or structures, in CSV and Parquet.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask", metavar="WHERE", help="local, local:N, slurm, or a dask scheduler's address; else this process."
        ),
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=0.001, help="Longest time for one crystal and feature set, s.")
    ] = 60.0,
    cached: Annotated[bool, typer.Option("--cache/--no-cache", help="Look features up, and keep them.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if any row has no features.")] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="List the feature sets, or the columns of --features.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Turn formulas, crystals or candidates into features, as a Parquet file."""
    from matscout.cli.featurize import FeaturizeRequest, featurize_input, list_feature_sets

    if listing:
        list_feature_sets([*(features or ()), *([given] if given else ())], as_json=as_json)
        return
    featurize_input(
        FeaturizeRequest(
            input=given,
            output=output,
            features=tuple(features or ()),
            column=column,
            dask=dask,
            time_limit=time_limit,
            cached=cached,
            strict=strict,
            as_json=as_json,
        )
    )


@app.command(epilog="Examples: matscout cache --json; matscout cache voronoi --clear; matscout cache --clear")
def cache(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Only these featurizers.", show_default=False)
    ] = None,
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Remove what is listed without this option.")] = False,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="Only featurizers not used for so many days."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the features that are kept to be used again, or clear them."""
    from matscout.cli.cache import clear_cache, show_cache

    (clear_cache if clear else show_cache)(names or (), older_than, as_json=as_json)


app.command(
    epilog="Examples: matscout train known.csv --target e_form --unit eV/atom -o e_form.model; "
    "matscout train known.csv -t e_hull -o hull.model --surrogate extra_trees --threshold 0.025 --option n_trees=500"
)(model_app.train)
app.command(
    epilog="Examples: matscout predict e_form.model new.csv; matscout predict e_form.model space.yaml -o p.parquet"
)(model_app.predict)
app.add_typer(model_app.models)
app.add_typer(workers, name="workers")
queue_app.register(app)
