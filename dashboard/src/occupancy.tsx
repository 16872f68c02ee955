// The books of a link as bars: one for the whole link, a stack of its classes; and one for each class, with its private
// share, what it borrows from higher and from lower classes, and what others have of its share.
import type { ClassFigures, Link } from "./api";
import { ClassMark } from "./parts";
import { className, percent, rate } from "./units";

/** Bars are drawn on a thousand units. */
const WHOLE = 1000;

/** What a class borrowed, told apart by who lends. Who lent which bit is not recorded: it is told in proportion. */
export function lenders(classes: ClassFigures[], one: ClassFigures): { fromHigher: number; fromLower: number } {
  const lent = (test: (other: ClassFigures) => boolean) => classes.filter(test).reduce((sum, other) => sum + other.lent_bps, 0);
  const above = lent((other) => other.class_type > one.class_type);
  const below = lent((other) => other.class_type < one.class_type);
  if (above + below === 0) return { fromHigher: one.borrowed_bps, fromLower: 0 };
  const fromHigher = Math.round((one.borrowed_bps * above) / (above + below));
  return { fromHigher, fromLower: one.borrowed_bps - fromHigher };
}

export function Occupancy(props: { link: Link }) {
  const { link } = props;
  const top = Math.max(link.max_reservable_bps, link.reserved_bps, 1);
  const scale = (bps: number) => (bps / top) * WHOLE;
  return (
    <figure class="occupancy">
      <Hatches classes={link.classes.map((one) => one.class_type)} />
      <Stack link={link} scale={scale} />
      {[...link.classes].reverse().map((one) => <ClassBar key={one.class_type} link={link} one={one} scale={scale} />)}
      <figcaption>
        <ul class="keys">
          <li><Swatch fill="solid" /> within the private share</li>
          <li><Swatch fill="url(#from-higher-1)" /> borrowed from higher classes (a higher class may take it back: preemption)</li>
          <li><Swatch fill="url(#from-lower-1)" /> borrowed from lower classes (a lower class may take it back: devolution)</li>
          <li><Swatch fill="url(#lent)" /> own share that others use</li>
          <li><Swatch fill="outline" /> private share, free</li>
          <li><Swatch fill="tick" /> the class's constraint</li>
        </ul>
      </figcaption>
    </figure>
  );
}

/** A pattern has the colour of where it is defined, so each class has its own. */
function Hatches(props: { classes: number[] }) {
  return (
    <svg class="defs" aria-hidden="true" width="0" height="0">
      <defs>
        {[...props.classes, 1].map((classType) => (
          <>
            <pattern id={`from-higher-${classType}`} class={`ct${classType}`} width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect width="5" height="9" fill="currentColor" />
            </pattern>
            <pattern id={`from-lower-${classType}`} class={`ct${classType}`} width="8" height="8" patternUnits="userSpaceOnUse">
              <path d="M0 0L8 8M8 0L0 8" stroke="currentColor" stroke-width="1.6" fill="none" />
            </pattern>
          </>
        ))}
        <pattern id="lent" width="7" height="7" patternUnits="userSpaceOnUse">
          <circle cx="3.5" cy="3.5" r="1.5" class="lent-dot" />
        </pattern>
      </defs>
    </svg>
  );
}

function Swatch(props: { fill: string }) {
  const { fill } = props;
  return (
    <svg class="swatch ct1" viewBox="0 0 26 14" aria-hidden="true">
      {fill === "tick" ? <path class="tick" d="M13 0v14" />
        : fill === "outline" ? <rect x="1" y="1" width="24" height="12" class="private" />
        : <rect width="26" height="14" fill={fill === "solid" ? "currentColor" : fill} class={fill === "solid" ? "" : "hatched"} />}
    </svg>
  );
}

/** The whole link: its classes stacked, the lowest first. */
function Stack(props: { link: Link; scale: (bps: number) => number }) {
  const { link, scale } = props;
  let from = 0;
  return (
    <div class="bar-row">
      <span class="bar-name">All classes</span>
      <svg class="bar" viewBox={`0 0 ${WHOLE} 44`} preserveAspectRatio="none" role="img" aria-label={`${rate(link.reserved_bps)} of ${rate(link.max_reservable_bps)} reserved: ${link.classes.map((one) => `${className(one.class_type)} ${rate(one.reserved_bps)}`).join(", ")}`}>
        <rect width={scale(link.max_reservable_bps)} height="44" class="casing" />
        {link.classes.map((one) => {
          const at = from;
          from += scale(one.reserved_bps);
          const own = scale(Math.min(one.reserved_bps, one.private_bps));
          const { fromHigher } = lenders(link.classes, one);
          return (
            <g class={`ct${one.class_type}`}>
              <rect x={at} width={own} height="44" fill="currentColor" />
              <rect x={at + own} width={scale(fromHigher)} height="44" fill={`url(#from-higher-${one.class_type})`} class="hatched" />
              <rect x={at + own + scale(fromHigher)} width={Math.max(0, scale(one.borrowed_bps - fromHigher))} height="44" fill={`url(#from-lower-${one.class_type})`} class="hatched" />
              <path class="seam" d={`M${from} 0V44`} />
            </g>
          );
        })}
        <path class="tick" d={`M${scale(link.max_reservable_bps)} 0V44`} />
      </svg>
      <span class="bar-figures"><strong>{percent(link.utilisation_ppm)}</strong> of {rate(link.max_reservable_bps)}</span>
    </div>
  );
}

/** One class against its private share and its constraint. */
function ClassBar(props: { link: Link; one: ClassFigures; scale: (bps: number) => number }) {
  const { link, one, scale } = props;
  const own = Math.min(one.reserved_bps, one.private_bps);
  const { fromHigher, fromLower } = lenders(link.classes, one);
  const words = [
    `${rate(one.reserved_bps)} reserved`, `private share ${rate(one.private_bps)}`, `constraint ${rate(one.constraint_bps)}`,
    fromHigher ? `${rate(fromHigher)} borrowed from higher classes` : "", fromLower ? `${rate(fromLower)} borrowed from lower classes` : "",
    one.lent_bps ? `${rate(one.lent_bps)} lent` : "",
  ].filter(Boolean);
  return (
    <div class="bar-row">
      <span class="bar-name"><ClassMark classType={one.class_type} long /></span>
      <svg class={`bar ct${one.class_type}`} viewBox={`0 0 ${WHOLE} 30`} preserveAspectRatio="none" role="img" aria-label={`${className(one.class_type)}: ${words.join(", ")}`}>
        <rect width={scale(link.max_reservable_bps)} height="30" class="casing" />
        <rect width={scale(one.private_bps)} height="30" class="private" />
        <rect x={scale(Math.max(0, one.private_bps - one.lent_bps))} width={scale(Math.min(one.lent_bps, one.private_bps))} y="2" height="26" fill="url(#lent)" />
        <rect width={scale(own)} height="30" fill="currentColor" />
        <rect x={scale(own)} width={scale(fromHigher)} height="30" fill={`url(#from-higher-${one.class_type})`} class="hatched" />
        <rect x={scale(own + fromHigher)} width={scale(fromLower)} height="30" fill={`url(#from-lower-${one.class_type})`} class="hatched" />
        <path class="tick" d={`M${Math.min(WHOLE - 1.5, Math.max(1.5, scale(one.constraint_bps)))} 0V30`} />
      </svg>
      <span class="bar-figures">{words.filter((_, at) => at !== 1 && at !== 2).join(", ")}</span>
    </div>
  );
}
